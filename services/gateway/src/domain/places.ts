/** Places of which there are so many, and so many for each tenant. */
export interface Places {
  readonly taken: number;
  /** What gives the place back, once; undefined when there is none. */
  take(tenant: string): (() => void) | undefined;
}

export function createPlaces({ max, perTenantMax }: { max: number; perTenantMax: number }): Places {
  const byTenant = new Map<string, number>();
  let taken = 0;
  return {
    get taken() {
      return taken;
    },
    take(tenant) {
      const its = byTenant.get(tenant) ?? 0;
      if (taken >= max || its >= perTenantMax) return undefined;
      taken += 1;
      byTenant.set(tenant, its + 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        taken -= 1;
        const left = byTenant.get(tenant)! - 1;
        if (left === 0) byTenant.delete(tenant);
        else byTenant.set(tenant, left);
      };
    },
  };
}
