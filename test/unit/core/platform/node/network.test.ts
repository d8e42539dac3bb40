import { spawn } from 'node:child_process';
import { existsSync, lstatSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { codeOf } from '../../../../../core/errors.ts';
import type { Connection, Listener } from '../../../../../core/platform/index.ts';
import { parseAddress } from '../../../../../core/platform/node/address.ts';
import { NodeNetwork } from '../../../../../core/platform/node/network.ts';
import { MiB } from '../../../../../core/units.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

const network = new NodeNetwork();

/** One side of a connection, with what happened to it and a promise of its end. */
class Side {
  readonly events: string[] = [];
  readonly received: Buffer[] = [];
  readonly closed: Promise<Error | null>;
  connection: Connection | null = null;
  /** What it does with what comes. */
  onChunk: (chunk: Buffer) => void = () => undefined;
  #resolveClosed: (error: Error | null) => void = () => undefined;
  #waiting: (() => void)[] = [];

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get handlers() {
    return {
      onOpen: () => this.#happened('open'),
      onData: (chunk: Buffer) => {
        this.received.push(chunk);
        this.onChunk(chunk);
        this.#wake();
      },
      onDrain: () => this.#happened('drain'),
      onClose: (error: Error | null) => {
        this.#happened(error === null ? 'end' : `${codeOf(error)}`);
        this.#resolveClosed(error);
      },
    };
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #happened(event: string): void {
    this.events.push(event);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function listen(
  address: string,
  accept: (side: Side) => boolean = () => true,
): Promise<Listener & AsyncDisposable> {
  return new Promise((resolve, reject) => {
    network.listen(
      address,
      (connection) => {
        const side = new Side();
        side.connection = connection;
        return accept(side) ? side.handlers : null;
      },
      (error, listener) => {
        if (listener === null) reject(error ?? new Error('no listener'));
        else {
          resolve({
            address: listener.address,
            close: (done) => listener.close(done),
            [Symbol.asyncDispose]: () => new Promise((done) => listener.close(done)),
          });
        }
      },
    );
  });
}

function connect(address: string, side = new Side()): Side & { connection: Connection } {
  side.connection = network.connect(address, side.handlers);
  return side as Side & { connection: Connection };
}

/** Both ends of a connection over a unix socket. */
async function connected(folder: string) {
  let there: Side | null = null;
  const listener = await listen(`unix:${join(folder, 's')}`, (side) => {
    there = side;
    return true;
  });
  const here = connect(listener.address);
  here.connection.write(Buffer.from('!'));
  await here.until(() => here.events.includes('open'));
  const other = there as Side | null;
  if (other === null) throw new Error('nobody came');
  await other.until(() => other.bytes.length === 1);
  other.received.length = 0;
  return { listener, here, there: other as Side & { connection: Connection } };
}

describe('a real connection', () => {
  test('carries bytes in order both ways and closes once on both sides', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await using _listening = listener;
    const data = Buffer.alloc(3 * MiB, 'abcdefg');
    there.onChunk = (chunk) => there.connection.write(chunk);
    here.connection.cork();
    here.connection.write(data.subarray(0, MiB));
    here.connection.write(data.subarray(MiB));
    here.connection.uncork();
    await here.until(() => here.bytes.length === data.length);
    expect(here.bytes.equals(data)).toBe(true);
    here.connection.end();
    here.connection.end();
    expect(here.connection.write(Buffer.from('late'))).toBe(false);
    expect([await here.closed, await there.closed]).toEqual([null, null]);
    expect(here.events.filter((event) => event === 'end')).toHaveLength(1);
    expect(there.events.filter((event) => event === 'end')).toHaveLength(1);
  });

  test('sends all that is queued before it ends, and drops what still comes', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await using _listening = listener;
    there.connection.pause();
    here.connection.write(Buffer.alloc(5 * MiB, 1));
    here.connection.end();
    there.connection.write(Buffer.from('never mind'));
    there.connection.resume();
    await Promise.all([here.closed, there.closed]);
    expect(there.bytes).toHaveLength(5 * MiB);
    expect(here.received).toHaveLength(0);
  });

  test('pushes back while the other side does not read, and tells when it may go on', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await using _listening = listener;
    there.connection.pause();
    let written = 0;
    const part = Buffer.alloc(MiB / 4, 1);
    while (here.connection.write(part)) written += part.length;
    written += part.length;
    expect(here.connection.queuedBytes).toBeGreaterThan(0);
    expect(here.events).toEqual(['open']);
    there.connection.resume();
    await here.until(() => here.events.includes('drain'));
    await there.until(() => there.bytes.length === written);
    expect(here.connection.queuedBytes).toBe(0);
    here.connection.destroy();
    await there.closed;
  });

  test('is closed once after destroy, later, and nothing else is called', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await using _listening = listener;
    there.connection.write(Buffer.from('too late'));
    here.connection.destroy();
    here.connection.destroy();
    expect(here.events).toEqual(['open']);
    expect(await here.closed).toBeNull();
    expect(here.events).toEqual(['open', 'end']);
    expect(here.received).toHaveLength(0);
    await there.closed;
  });

  test('may be destroyed amid what was read already', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await using _listening = listener;
    there.onChunk = () => there.connection.destroy();
    there.connection.pause();
    for (let index = 0; index < 20; index += 1) here.connection.write(Buffer.alloc(100_000, 1));
    there.connection.resume();
    await there.closed;
    expect(there.received).toHaveLength(1);
    await here.closed;
  });

  test('knows where the other side is and where it came to', async () => {
    let there: Side | null = null;
    await using listener = await listen('tcp:127.0.0.1:0', (side) => {
      there = side;
      return true;
    });
    expect(listener.address).toMatch(/^tcp:127\.0\.0\.1:[1-9][0-9]*$/);
    const here = connect(listener.address);
    await here.until(() => here.events.includes('open'));
    here.connection.end();
    await here.closed;
    expect(here.connection.remote).toBe(listener.address);
    const accepted = (there as Side | null)?.connection;
    expect(accepted?.remote).toMatch(/^tcp:127\.0\.0\.1:[0-9]+$/);
    expect(accepted?.local).toBe(listener.address);
  });

  test('that cannot be made is closed with the reason, and never within the call', async () => {
    await using folder = await temporaryFolder('net');
    await using listener = await listen('tcp:127.0.0.1:0');
    const port = Number(listener.address.split(':').at(-1));
    await listener[Symbol.asyncDispose]();
    const attempts: readonly (readonly [address: string, code: string])[] = [
      [`unix:${join(folder.path, 'none')}`, 'ENOENT'],
      [`unix:${'x'.repeat(200)}`, 'ENAMETOOLONG'],
      [`tcp:127.0.0.1:${port}`, 'ECONNREFUSED'],
      ['http://127.0.0.1', 'EINVAL'],
      ['tcp:127.0.0.1:70000', 'EINVAL'],
      ['unix:', 'EINVAL'],
    ];
    for (const [address, code] of attempts) {
      const side = connect(address);
      expect(side.events).toEqual([]);
      expect(codeOf(await side.closed)).toBe(code);
      expect(side.events).toEqual([code]);
    }
  });

  test('that the other side refuses is closed', async () => {
    await using folder = await temporaryFolder('net');
    await using listener = await listen(`unix:${join(folder.path, 's')}`, () => false);
    const side = connect(listener.address);
    await side.closed;
    expect(side.received).toHaveLength(0);
  });
});

describe('a real listener', () => {
  test('on a unix socket is for its user only, and takes its file away at the end', async () => {
    await using folder = await temporaryFolder('net');
    const path = join(folder.path, 's');
    const umask = process.umask(0);
    try {
      await using _listener = await listen(`unix:${path}`);
      expect(lstatSync(path).mode & 0o777).toBe(0o600);
      expect(process.umask(0)).toBe(0);
    } finally {
      process.umask(umask);
    }
    expect(existsSync(path)).toBe(false);
  });

  test('is told when its port or path is taken', async () => {
    await using folder = await temporaryFolder('net');
    for (const address of ['tcp:127.0.0.1:0', `unix:${join(folder.path, 's')}`]) {
      await using first = await listen(address);
      await expect(listen(first.address)).rejects.toMatchObject({ code: 'EADDRINUSE' });
      const side = connect(first.address);
      await side.until(() => side.events.includes('open'));
      side.connection.destroy();
      await side.closed;
    }
  });

  test('takes the place of one that died, and never that of a file', async () => {
    await using folder = await temporaryFolder('net');
    const path = join(folder.path, 's');
    const listening = `require('node:net').createServer().listen(${JSON.stringify(path)}`;
    const script = `${listening}, () => process.send('up'))`;
    const dead = spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    await new Promise((resolve) => {
      dead.once('message', resolve);
      dead.once('exit', resolve);
    });
    dead.kill('SIGKILL');
    await new Promise((resolve) => dead.once('exit', resolve));
    expect(lstatSync(path).isSocket()).toBe(true);
    await using listener = await listen(`unix:${path}`);
    const side = connect(listener.address);
    await side.until(() => side.events.includes('open'));
    side.connection.destroy();
    await side.closed;
    const file = join(folder.path, 'file');
    writeFileSync(file, 'precious');
    await expect(listen(`unix:${file}`)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(existsSync(file)).toBe(true);
  });

  test('that closes leaves open connections alone', async () => {
    await using folder = await temporaryFolder('net');
    const { listener, here, there } = await connected(folder.path);
    await listener[Symbol.asyncDispose]();
    here.connection.write(Buffer.from('still here'));
    await there.until(() => there.bytes.toString() === 'still here');
    here.connection.destroy();
    await Promise.all([here.closed, there.closed]);
  });

  test('says what is wrong with an address', async () => {
    await expect(listen(`unix:/${'x'.repeat(107)}`)).rejects.toThrow(
      /^ENAMETOOLONG: .* has 108 bytes, Linux allows 107: use a folder with a shorter name$/,
    );
    await expect(listen('udp:1')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(listen('unix:/none/of/these/s')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(parseAddress('tcp:[::1]:80')).toEqual({ kind: 'tcp', host: '::1', port: 80 });
    expect(parseAddress('tcp:host:0')).toEqual({ kind: 'tcp', host: 'host', port: 0 });
  });

  test('accepts a client that sends before it is looked at', async () => {
    await using folder = await temporaryFolder('net');
    const got = new Promise<Side>((resolve) => {
      void listen(`unix:${join(folder.path, 's')}`, (side) => {
        side.onChunk = () => resolve(side);
        return true;
      }).then((listener) => {
        const client = net.connect(listener.address.slice('unix:'.length));
        client.write('early');
        client.on('close', () => listener.close(() => undefined));
      });
    });
    const side = await got;
    expect(side.bytes.toString()).toBe('early');
    side.connection?.destroy();
    await side.closed;
  });
});
