import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, credentials, makeClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect, test } from '@jest/globals';
import { serveRegistration } from '../../../../plugins/csi/registration/registration.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const PROTO = fileURLToPath(
  new URL('../../../../plugins/csi/registration/registration.proto', import.meta.url),
);
const DRIVER = 'maya.csi.openebs.io';

test('the kubelet learns name, socket and versions, and the log learns how it went', async () => {
  await using folder = await temporaryFolder('reg');
  const said: unknown[] = [];
  const log = {
    info: (message: string, fields: object) => said.push(['info', message, fields]),
    error: (message: string, fields: object) => said.push(['error', message, fields]),
  };
  const csiSocket = '/var/lib/kubelet/plugins/maya.csi.openebs.io/csi.sock';
  const server = await serveRegistration({ folder: folder.path, driver: DRIVER, csiSocket, log });
  const socket = join(folder.path, `${DRIVER}-reg.sock`);
  said.length = 0;
  const kubelet = new FakeKubelet(socket);
  expect(await kubelet.call('GetInfo', {})).toEqual({
    type: 'CSIPlugin',
    name: DRIVER,
    endpoint: csiSocket,
    supportedVersions: ['1.0.0'],
  });
  await kubelet.call('NotifyRegistrationStatus', { pluginRegistered: true });
  await kubelet.call('NotifyRegistrationStatus', { error: 'no such node' });
  kubelet.close();
  await server.close();
  expect(said).toEqual([
    ['info', 'the kubelet knows the driver', { driver: DRIVER }],
    ['error', 'the kubelet refused the driver', { driver: DRIVER, error: 'no such node' }],
  ]);
  // Its disappearance is how the kubelet learns that the driver is gone.
  expect(existsSync(socket)).toBe(false);
});

type Unary = (request: object, done: (error: Error | null, answer: object) => void) => void;

/** Speaks as the kubelet's plugin manager does. */
class FakeKubelet {
  readonly #client: Client & Record<string, Unary>;

  constructor(socket: string) {
    const definition = loadSync(PROTO)['pluginregistration.Registration'];
    if (definition === undefined || 'format' in definition) throw new Error('there is a service');
    const Registration = makeClientConstructor(definition, 'Registration');
    const client: unknown = new Registration(`unix:${socket}`, credentials.createInsecure());
    this.#client = client as Client & Record<string, Unary>;
  }

  call(name: string, request: object): Promise<object> {
    const answered = Promise.withResolvers<object>();
    this.#client[name]?.(request, (error, answer) => {
      if (error === null) answered.resolve(answer);
      else answered.reject(error);
    });
    return answered.promise;
  }

  close(): void {
    this.#client.close();
  }
}
