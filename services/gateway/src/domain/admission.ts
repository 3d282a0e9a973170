import { AppError } from "@tollgate/errors";

const RETRY_AFTER_SECONDS = 1;

/** Bounds what is under way at the same time, in all and for each tenant, so that one's flood is not another's wait. */
export interface Admission {
  readonly underWay: number;
  /** @throws {AppError} `overloaded` */
  enter(tenant: string): void;
  leave(tenant: string): void;
}

export function createAdmission(options: { max: number; perTenantMax: number }): Admission {
  const perTenant = new Map<string, number>();
  let underWay = 0;
  return {
    get underWay() {
      return underWay;
    },
    enter(tenant) {
      const own = perTenant.get(tenant) ?? 0;
      if (own >= options.perTenantMax)
        throw overloaded(`tenant ${tenant} has ${own} calls under way, the most it may have`);
      if (underWay >= options.max) throw overloaded(`${underWay} calls are under way, the most this gateway takes`);
      perTenant.set(tenant, own + 1);
      underWay += 1;
    },
    leave(tenant) {
      const own = perTenant.get(tenant) ?? 0;
      if (own <= 1) perTenant.delete(tenant);
      else perTenant.set(tenant, own - 1);
      underWay -= 1;
    },
  };
}

function overloaded(reason: string): AppError {
  return new AppError("overloaded", `${reason}; try again in ${RETRY_AFTER_SECONDS} s`, {
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}
