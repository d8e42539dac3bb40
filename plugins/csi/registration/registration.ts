/**
 * Registers the CSI plugin with the kubelet of this node (pluginregistration.v1), as the side-car
 * node-driver-registrar would: the kubelet watches a folder, calls every socket that appears in it,
 * asks what it is, and says how it went. It asks again whenever it or the socket starts anew.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadServices } from '../grpc/definition.ts';
import { type GrpcServer, serveGrpc } from '../grpc/server.ts';

const PROTO_PATH = fileURLToPath(new URL('./registration.proto', import.meta.url));
/** Of the CSI specification; the kubelet takes any 1.x. */
const CSI_VERSIONS = ['1.0.0'];

export interface RegistrationLog {
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface RegistrationOptions {
  /** Where the kubelet looks: /var/lib/kubelet/plugins_registry. */
  readonly folder: string;
  readonly driver: string;
  /** The CSI socket's path as the kubelet, on the host, sees it. */
  readonly csiSocket: string;
  readonly log: RegistrationLog;
}

type Status = { readonly pluginRegistered: boolean; readonly error: string };

/**
 * Until it is closed: then the socket is removed, and the kubelet no longer knows the driver.
 * @throws SocketError when the socket cannot be made there.
 */
export async function serveRegistration(options: RegistrationOptions): Promise<GrpcServer> {
  const { folder, driver, csiSocket, log } = options;
  const info = {
    type: 'CSIPlugin',
    name: driver,
    endpoint: csiSocket,
    supportedVersions: CSI_VERSIONS,
  };
  const path = join(folder, `${driver}-reg.sock`);
  const server = await serveGrpc({
    endpoint: { kind: 'unix', path },
    services: [
      {
        definition: loadServices(PROTO_PATH)('pluginregistration.Registration'),
        handlers: {
          GetInfo: async () => info,
          NotifyRegistrationStatus: async ({ pluginRegistered, error }: Status) => {
            if (pluginRegistered) log.info('the kubelet knows the driver', { driver });
            // It tries again by itself, ever more rarely.
            else log.error('the kubelet refused the driver', { driver, error });
            return {};
          },
        },
      },
    ],
    log,
  });
  log.info('the kubelet may register the driver', { driver, socket: path });
  return server;
}
