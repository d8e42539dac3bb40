import { Portal, type PortalDependencies, type PortalOptions } from './portal/portal.ts';

export type { Portal, PortalDependencies, PortalOptions } from './portal/portal.ts';
export type { Log } from './session/ports.ts';

/** Rejects when the address cannot be listened on (EADDRINUSE, ...). */
export function openPortal(
  dependencies: PortalDependencies,
  options: PortalOptions,
): Promise<Portal> {
  return Portal.open(dependencies, options);
}
