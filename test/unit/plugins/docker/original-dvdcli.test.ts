/**
 * The original dvdcli (github.com/rexray/dvdcli 0.2 with the client of Docker 1.11), byte by byte as
 * its Go client writes: for a Mesos agent that has that one on its PATH.
 */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { expect, test } from '@jest/globals';
import { NAMELESS_CONSUMER } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import { engineWithPlugin } from './engine.ts';

type Engine = Awaited<ReturnType<typeof engineWithPlugin>>;

/** One process of dvdcli: it activates the plugin, then makes its calls on one connection. */
async function dvdcli(engine: Engine, ...calls: readonly (readonly [string, object])[]) {
  const connection = createConnection({ path: engine.socketPath });
  const chunks: Buffer[] = [];
  connection.on('data', (chunk: Buffer) => chunks.push(chunk));
  const answers: unknown[] = [];
  // Go has no length for an empty body that is there, and cuts a Host that begins with a slash.
  const requests = [
    'POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n' +
      'Transfer-Encoding: chunked\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n' +
      'Accept-Encoding: gzip\r\n\r\n0\r\n\r\n',
    ...calls.map(([name, fields]) => requestText(name, `${JSON.stringify(fields)}\n`)),
  ];
  for (const text of requests) {
    connection.write(text);
    answers.push(await nextAnswer(connection, chunks));
  }
  connection.end();
  return answers.slice(1);
}

function requestText(name: string, body: string): string {
  return (
    `POST /VolumeDriver.${name} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    'Accept: application/vnd.docker.plugins.v1.2+json\r\nAccept-Encoding: gzip\r\n\r\n' +
    body
  );
}

/** `[status, body]`, once the body is as long as its header says. */
async function nextAnswer(connection: ReturnType<typeof createConnection>, chunks: Buffer[]) {
  for (;;) {
    const text = Buffer.concat(chunks).toString();
    const end = text.indexOf('\r\n\r\n');
    const length = Number(/^content-length: (\d+)/im.exec(text)?.[1]);
    if (end >= 0 && text.length >= end + 4 + length) {
      chunks.length = 0;
      return [Number(text.split(' ')[1]), JSON.parse(text.slice(end + 4))];
    }
    await once(connection, 'data');
  }
}

const Name = 'data';
const mounted = [200, { Mountpoint: '/mnt/00000000-0000-4000-8000-000000000000' }];

test('mount: Get finds nothing, so Create, then Mount without an id', async () => {
  await using engine = await engineWithPlugin();
  expect(
    await dvdcli(
      engine,
      ['Get', { Name }],
      ['Create', { Name, Opts: { size: '1G' } }],
      ['Mount', { Name }],
    ),
  ).toEqual([[404, { Err: 'volume "data" does not exist' }], [200, {}], mounted]);
  expect(engine.agent.volumes.get('data')).toMatchObject({
    sizeBytes: GiB,
    consumers: [NAMELESS_CONSUMER],
  });
});

test('two more containers mount it, and one unmount lets go of it', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  for (let count = 0; count < 3; count += 1) {
    const [found, answer] = await dvdcli(engine, ['Get', { Name }], ['Mount', { Name }]);
    expect(found).toMatchObject([200, { Volume: { Name } }]);
    expect(answer).toEqual(mounted);
  }
  expect(await dvdcli(engine, ['Get', { Name }], ['Unmount', { Name }])).toMatchObject([
    [200, { Volume: { Name, Mountpoint: '/mnt/00000000-0000-4000-8000-000000000000' } }],
    [200, {}],
  ]);
  expect([volume.consumers, volume.mountpoint]).toEqual([[], '']);
});

test('options without a value are sent as null', async () => {
  await using engine = await engineWithPlugin();
  expect(await dvdcli(engine, ['Create', { Name, Opts: null }])).toEqual([[200, {}]]);
});

test('path, list and remove', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  expect(
    await dvdcli(
      engine,
      ['Get', { Name }],
      ['Path', { Name }],
      ['List', {}],
      ['Remove', { Name }],
      ['Get', { Name }],
    ),
  ).toMatchObject([
    [200, {}],
    [200, { Mountpoint: '' }],
    [200, { Volumes: [{ Name }] }],
    [200, {}],
    [404, {}],
  ]);
});
