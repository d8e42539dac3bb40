/** Whatever comes over the socket, the plugin tells what is wrong or hangs up, and goes on. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Client, credentials, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { KiB, MiB } from '../../../../core/units.ts';
import { MOUNT, orchestratorWithPlugin, STAGING, TARGET } from './orchestrator.ts';

const PROTO = fileURLToPath(new URL('../../../../plugins/csi/proto/csi.proto', import.meta.url));
const SERVICES = ['Identity', 'Controller', 'Node'];
const DEFINITIONS = loadSync(PROTO);
const METHODS = SERVICES.flatMap((name) => {
  const definition = DEFINITIONS[`csi.v1.${name}`];
  if (definition === undefined || 'format' in definition) throw new Error(`no ${name}`);
  return Object.values(definition);
});

/** A request of each kind, with every field that matters set. */
const REQUEST = {
  name: 'data',
  volumeId: 'data',
  nodeId: 'node-1',
  stagingTargetPath: STAGING,
  targetPath: TARGET,
  volumePath: TARGET,
  volumeCapability: MOUNT,
  volumeCapabilities: [MOUNT],
  capacityRange: { requiredBytes: 2 ** 30, limitBytes: 2 ** 31 },
  parameters: { fs: 'ext4', replicas: '2' },
  accessibilityRequirements: {
    requisite: [{ segments: { 'topology.openebs.io/node': 'node-1' } }],
  },
  secrets: { key: 'value' },
  maxEntries: 2,
};

/** @returns the name of the status. */
async function send(client: Client, method: string, body: Buffer): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  client.makeUnaryRequest(
    method,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    body,
    { deadline: Date.now() + 10_000 },
    (error) => resolve(error === null ? 'OK' : (status[error.code] ?? '')),
  );
  return promise;
}

async function rig() {
  const csi = await orchestratorWithPlugin();
  csi.agent.addVolume('data');
  const client = new Client(`unix:${csi.socketPath}`, credentials.createInsecure());
  return {
    ...csi,
    send: (method: string, body: Buffer) => send(client, method, body),
    async [Symbol.asyncDispose]() {
      client.close();
      await csi[Symbol.asyncDispose]();
    },
  };
}

const bytes = (...parts: (number[] | string)[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const CREATE = '/csi.v1.Controller/CreateVolume';

test.each([
  ['cut off in a field', bytes([0x0a, 0x7f], 'data'), 'INTERNAL'],
  ['cut off in a number', bytes([0x0a, 0xff]), 'INTERNAL'],
  ['cut off in a capability', bytes([0x0a, 0x04], 'data', [0x1a, 0x04, 0x12, 0x00]), 'INTERNAL'],
  ['a number without end', bytes(Array(64).fill(0xff)), 'INTERNAL'],
  ['a name of the wrong kind', bytes([0x08, 0x01]), 'INVALID_ARGUMENT'],
  ['a field of no kind', bytes([0x0f]), 'INTERNAL'],
  ['a name that is not UTF-8', bytes([0x0a, 0x02, 0xc3, 0x28]), 'INVALID_ARGUMENT'],
  ['groups within groups', bytes(Array(20_000).fill(0x0b)), 'INTERNAL'],
  ['messages within messages', bytes(nested(3_000)), 'INVALID_ARGUMENT'],
  ['nothing', Buffer.alloc(0), 'INVALID_ARGUMENT'],
  ['more than is taken', Buffer.alloc(256 * KiB + 1), 'RESOURCE_EXHAUSTED'],
])('a request that is %s is refused', async (_what, body, code) => {
  await using csi = await rig();
  expect(await csi.send(CREATE, body)).toBe(code);
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
  expect([csi.bugs, csi.agent.calls('POST', '/v1/volumes')]).toEqual([[], []]);
});

/** CreateVolumeRequest.volume_capabilities.mount, and in it a field that is unknown, and so on. */
function nested(depth: number): number[] {
  let body: number[] = [];
  for (let level = 0; level < depth; level += 1) {
    const size = body.length;
    body = [0x1a, (size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14, ...body];
  }
  return body;
}

test('a volume id that is cut off is not taken for the id of another volume', async () => {
  await using csi = await rig();
  const body = bytes([0x0a, 0x09], 'data');
  expect(await csi.send('/csi.v1.Controller/DeleteVolume', body)).toBe('INTERNAL');
  expect(csi.agent.volumes.has('data')).toBe(true);
});

test('fields that are newer than ours are no obstacle', async () => {
  await using csi = await rig();
  // GetCapacityRequest, with a field 99 of three bytes.
  const body = bytes([0x9a, 0x06, 0x03], 'new');
  expect(await csi.send('/csi.v1.Controller/GetCapacity', body)).toBe('OK');
});

test.each(['/csi.v1.Controller/Bogus', '/csi.v0.Controller/CreateVolume', '/', '/a/../b'])(
  'the call %s is unknown',
  async (method) => {
    await using csi = await rig();
    expect(await csi.send(method, Buffer.alloc(0))).toBe('UNIMPLEMENTED');
  },
);

test('a small message that unpacks to a large one is not unpacked', async () => {
  await using csi = await rig();
  const packed = gzipSync(Buffer.alloc(64 * MiB));
  expect(await rawCall(csi.socketPath, { encoding: 'gzip', flag: 1, body: packed })).toBe(
    status.RESOURCE_EXHAUSTED,
  );
  expect(await rawCall(csi.socketPath, { encoding: 'gzip', flag: 1, body: bytes('no') })).toBe(
    status.INTERNAL,
  );
  expect(await rawCall(csi.socketPath, { encoding: 'bogus', flag: 1, body: bytes('no') })).toBe(
    status.UNIMPLEMENTED,
  );
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
});

/** A call by hand over HTTP/2. @returns the number of the status. */
async function rawCall(
  socketPath: string,
  { encoding, flag, body }: { encoding: string; flag: number; body: Buffer },
): Promise<number> {
  const { connect } = await import('node:http2');
  const session = connect('http://localhost', {
    createConnection: () => createConnection({ path: socketPath }),
  });
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': CREATE,
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-encoding': encoding,
  });
  const head = Buffer.alloc(5);
  head.writeUInt8(flag);
  head.writeUInt32BE(body.length, 1);
  const told = Promise.withResolvers<number>();
  for (const event of ['response', 'trailers'] as const) {
    stream.on(event, (headers) => {
      if (headers['grpc-status'] !== undefined) told.resolve(Number(headers['grpc-status']));
    });
  }
  stream.on('error', told.reject);
  stream.resume();
  stream.end(Buffer.concat([head, body]));
  try {
    return await told.promise;
  } finally {
    session.destroy();
  }
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

test.each([
  ['nothing', ''],
  ['HTTP/1.1', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['half a preface', PREFACE.slice(0, 9)],
  ['noise', Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 7919) & 0xff))],
  ['noise behind the preface', `${PREFACE}${'\xff'.repeat(100)}`],
  ['a frame of 16 MiB', bytes(PREFACE, [0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01])],
  ['data of a stream that is not open', bytes(PREFACE, [0, 0, 1, 0, 0, 0, 0, 0, 1, 0])],
  ['headers that do not unpack', bytes(PREFACE, [0, 0, 2, 1, 4, 0, 0, 0, 1, 0xff, 0xff])],
  ['settings of a wrong size', bytes(PREFACE, [0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5])],
])('a connection that sends %s harms nobody', async (_what, noise) => {
  await using csi = await rig();
  const connection = createConnection({ path: csi.socketPath });
  connection.on('error', () => undefined);
  await once(connection, 'connect');
  connection.resume();
  connection.write(noise);
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
  connection.destroy();
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
  expect(csi.bugs).toEqual([]);
});

test('a request with any bytes changed, missing or added is answered, and never by a bug', async () => {
  await using csi = await rig();
  const requests = METHODS.filter(({ responseStream }) => !responseStream).map(
    ({ path, requestSerialize }) => ({ path, body: requestSerialize(REQUEST as never) }),
  );
  const change = fc.record({
    request: fc.constantFrom(...requests),
    at: fc.nat(400),
    drop: fc.nat(20),
    add: fc.uint8Array({ maxLength: 20 }),
  });
  const holds = fc.asyncProperty(change, async ({ request, at, drop, add }) => {
    const { path, body } = request;
    const changed = Buffer.concat([body.subarray(0, at), add, body.subarray(at + drop)]);
    expect(await csi.send(path, changed)).not.toBe('');
  });
  await fc.assert(holds, { numRuns: 300 });
  expect(csi.bugs).toEqual([]);
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
});
