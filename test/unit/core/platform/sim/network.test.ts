import { describe, expect, test } from '@jest/globals';
import { codeOf } from '../../../../../core/errors.ts';
import type { Connection, Listener } from '../../../../../core/platform/index.ts';
import type { SimProcess } from '../../../../../core/platform/sim/index.ts';
import { simulate } from '../../../../fixtures/simulation.ts';

interface Peer {
  connection: Connection;
  received: Buffer[];
  chunkSizes: number[];
  /** `open`, `drain`, `end` or the code of the error it was closed with. */
  events: string[];
}

function newPeer(): Peer {
  return {
    connection: undefined as unknown as Connection,
    received: [],
    chunkSizes: [],
    events: [],
  };
}

function handlersOf(peer: Peer) {
  return {
    onOpen: () => void peer.events.push('open'),
    onData: (chunk: Buffer) => {
      peer.received.push(chunk);
      peer.chunkSizes.push(chunk.length);
    },
    onDrain: () => void peer.events.push('drain'),
    onClose: (error: Error | null) =>
      void peer.events.push(error === null ? 'end' : `${codeOf(error)}`),
  };
}

function bytesOf(peer: Peer): Buffer {
  return Buffer.concat(peer.received);
}

function listen(process: SimProcess, address: string, peers: Peer[], accepts = true) {
  return process.simulation.call<[Error | null, Listener | null]>((done) =>
    process.platform.network.listen(
      address,
      (connection) => {
        const peer = newPeer();
        peer.connection = connection;
        peers.push(peer);
        return accepts ? handlersOf(peer) : null;
      },
      done,
    ),
  );
}

function connect(process: SimProcess, address: string): Peer {
  const peer = newPeer();
  peer.connection = process.platform.network.connect(address, handlersOf(peer));
  return peer;
}

/** A client on alpha, a server on beta, connected. */
async function connected(seed: number, address = 'tcp:beta:7000') {
  const simulation = simulate(seed);
  const client = simulation.machine('alpha').process('client');
  const server = simulation.machine('beta').process('server');
  const accepted: Peer[] = [];
  await listen(server, 'tcp:0.0.0.0:7000', accepted);
  const here = connect(client, address);
  await simulation.runUntil(() => here.events.length > 0 && accepted.length > 0);
  const there = accepted[0] as Peer;
  return { simulation, client, server, here, there, network: simulation.network };
}

describe('a simulated connection', () => {
  test('carries bytes in order, in chunks of random sizes, both ways at once', async () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 20; seed += 1) {
      const { simulation, here, there } = await connected(seed);
      const up = simulation.random.bytes(300_000);
      const down = simulation.random.bytes(300_000);
      for (let at = 0; at < up.length; at += 30_000) {
        here.connection.write(up.subarray(at, at + 30_000));
        there.connection.write(down.subarray(at, at + 30_000));
      }
      await simulation.runFor(100);
      expect(bytesOf(there).equals(up)).toBe(true);
      expect(bytesOf(here).equals(down)).toBe(true);
      expect(there.connection.local).toBe('tcp:beta:7000');
      for (const size of there.chunkSizes) sizes.add(size);
    }
    expect(sizes.size).toBeGreaterThan(50);
    expect(Math.min(...sizes)).toBeLessThan(48);
  });

  test('gives receivers chunks of their own', async () => {
    const { simulation, here, there } = await connected(1);
    const sent = Buffer.alloc(1000, 1);
    here.connection.write(sent);
    await simulation.runFor(10);
    for (const chunk of there.received) chunk.fill(9);
    expect(sent).toEqual(Buffer.alloc(1000, 1));
  });

  test('pushes back when the other side does not read, and drains when it does', async () => {
    const { simulation, here, there } = await connected(1);
    there.connection.pause();
    let writes = 0;
    while (here.connection.write(Buffer.alloc(100_000))) writes += 1;
    await simulation.runFor(1_000);
    expect(there.received).toHaveLength(0);
    expect(here.connection.queuedBytes).toBeGreaterThan(700_000);
    expect(here.events).toEqual(['open']);
    there.connection.resume();
    await simulation.runFor(1_000);
    expect(bytesOf(there).length).toBe((writes + 1) * 100_000);
    expect(here.connection.queuedBytes).toBe(0);
    expect(here.events).toEqual(['open', 'drain']);
  });

  test('holds back what is corked', async () => {
    const { simulation, here, there } = await connected(1);
    here.connection.cork();
    here.connection.write(Buffer.from('one '));
    here.connection.write(Buffer.from('two'));
    await simulation.runFor(10);
    expect(there.received).toHaveLength(0);
    here.connection.uncork();
    await simulation.runFor(10);
    expect(bytesOf(there).toString()).toBe('one two');
  });

  test('delivers all that was written before end, and both sides close once', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const { simulation, here, there } = await connected(seed);
      there.connection.write(Buffer.from('never mind'));
      here.connection.write(Buffer.alloc(500_000, 1));
      here.connection.end();
      expect(here.connection.write(Buffer.from('too late'))).toBe(false);
      await simulation.runFor(1_000);
      expect(bytesOf(there)).toHaveLength(500_000);
      expect(there.events).toEqual(['end']);
      expect(here.events).toEqual(['open', 'end']);
      expect(here.received).toHaveLength(0);
    }
  });

  test('is closed after destroy, later and once, and the other side notices', async () => {
    const others = new Set<string>();
    for (let seed = 0; seed < 20; seed += 1) {
      const { simulation, here, there } = await connected(seed);
      there.connection.write(Buffer.from('on its way'));
      here.connection.destroy();
      here.connection.destroy();
      expect(here.events).toEqual(['open']);
      await simulation.runFor(100);
      expect(here.events).toEqual(['open', 'end']);
      expect(here.received).toHaveLength(0);
      expect(there.events).toHaveLength(1);
      others.add(there.events[0] ?? '');
    }
    expect([...others].toSorted()).toEqual(['ECONNRESET', 'end']);
  });

  test('works within a machine over unix sockets, and in spite of a partition', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    simulation.machine('beta');
    const accepted: Peer[] = [];
    await listen(machine.process('server'), 'unix:/run/a.sock', accepted);
    simulation.network.partition(['alpha'], ['beta', 'alpha']);
    const here = connect(machine.process('client'), 'unix:/run/a.sock');
    here.connection.write(Buffer.from('hello'));
    await simulation.runFor(10);
    expect(accepted.map((peer) => bytesOf(peer).toString())).toEqual(['hello']);
    const { remote, local } = accepted[0]?.connection ?? {};
    expect([remote, local]).toEqual(['unix:/run/a.sock', 'unix:/run/a.sock']);
  });
});

describe('listening', () => {
  test('gives a free port for 0, refuses one that is taken, and frees it at close', async () => {
    const simulation = simulate(1);
    const process = simulation.machine('alpha').process('one');
    const [, listener] = await listen(process, 'tcp:127.0.0.1:0', []);
    expect(listener?.address).toMatch(/^tcp:127\.0\.0\.1:[0-9]+$/);
    const address = listener?.address ?? '';
    expect((await listen(process, address, []))[0]).toMatchObject({ code: 'EADDRINUSE' });
    await simulation.call<[]>((done) => listener?.close(done));
    expect((await listen(process, address, []))[0]).toBeNull();
    expect((await listen(process, 'tcp:beta:1', []))[0]).toMatchObject({ code: 'EADDRNOTAVAIL' });
  });

  test('is over when the process is killed', async () => {
    const { simulation, client, server } = await connected(1);
    server.kill();
    const late = connect(client, 'tcp:beta:7000');
    const nowhere = connect(client, 'tcp:gamma:7000');
    const nonsense = connect(client, 'beta:7000');
    await simulation.runFor(100);
    expect(late.events).toEqual(['ECONNREFUSED']);
    expect(nowhere.events).toEqual(['ENOTFOUND']);
    expect(nonsense.events).toEqual(['EINVAL']);
  });

  test('may refuse a connection at once', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    await listen(machine.process('server'), 'tcp:127.0.0.1:7000', [], false);
    const here = connect(machine.process('client'), 'tcp:127.0.0.1:7000');
    await simulation.runFor(100);
    expect(here.events[0]).toBe('open');
    expect(here.events[1]).toMatch(/^(end|ECONNRESET)$/);
    expect(here.events).toHaveLength(2);
  });
});

describe('a partition', () => {
  test('stalls both ways, and everything arrives after the heal', async () => {
    const { simulation, here, there, network } = await connected(1);
    network.partition(['alpha'], ['beta']);
    here.connection.write(Buffer.from('up'));
    there.connection.write(Buffer.from('down'));
    await simulation.runFor(60_000);
    expect([bytesOf(here).length, bytesOf(there).length]).toEqual([0, 0]);
    network.heal();
    await simulation.runFor(5_000);
    expect(bytesOf(there).toString()).toBe('up');
    expect(bytesOf(here).toString()).toBe('down');
    expect(here.events).toEqual(['open']);
  });

  test('may be of one direction', async () => {
    const { simulation, here, there, network } = await connected(1);
    network.block('beta', 'alpha');
    here.connection.write(Buffer.from('up'));
    there.connection.write(Buffer.from('down'));
    await simulation.runFor(10_000);
    expect(bytesOf(there).toString()).toBe('up');
    expect(bytesOf(here).length).toBe(0);
    // Nothing is acknowledged either, so the sender's window fills.
    here.connection.write(Buffer.alloc(600_000));
    await simulation.runFor(10_000);
    expect(bytesOf(there).length).toBeLessThan(300_000);
    network.unblock('beta', 'alpha');
    await simulation.runFor(10_000);
    expect(bytesOf(there).length).toBe(600_002);
    expect(bytesOf(here).toString()).toBe('down');
  });

  test('that lasts ends connections with something to send, the others stay', async () => {
    const { simulation, client, here, there, network } = await connected(1);
    network.retransmitTimeoutMs = 20_000;
    const idle = connect(client, 'tcp:beta:7000');
    await simulation.runFor(10);
    network.partition(['alpha'], ['beta']);
    here.connection.write(Buffer.from('up'));
    await simulation.runFor(30_000);
    expect(here.events).toEqual(['open', 'ETIMEDOUT']);
    expect(there.events).toEqual([]);
    expect(idle.events).toEqual(['open']);
    network.heal();
    there.connection.write(Buffer.from('anybody?'));
    await simulation.runFor(5_000);
    expect(there.events).toEqual(['ECONNRESET']);
    idle.connection.write(Buffer.from('still here'));
    await simulation.runFor(10);
    expect(idle.events).toEqual(['open']);
  });

  test('lets a connect wait for the heal, or time out', async () => {
    const { simulation, client, network } = await connected(1);
    network.partition(['alpha'], ['beta']);
    const patient = connect(client, 'tcp:beta:7000');
    await simulation.runFor(60_000);
    network.heal();
    await simulation.runFor(5_000);
    expect(patient.events).toEqual(['open']);
    network.partition(['alpha'], ['beta']);
    const hopeless = connect(client, 'tcp:beta:7000');
    await simulation.runFor(140_000);
    expect(hopeless.events).toEqual(['ETIMEDOUT']);
  });

  test('or a box in between may drop what is established', async () => {
    const { simulation, here, there, network } = await connected(1);
    network.dropConnections('alpha', 'beta');
    await simulation.runFor(10);
    expect(here.events).toEqual(['open', 'ECONNRESET']);
    expect(there.events).toEqual(['ECONNRESET']);
  });
});

describe('the other side of a connection', () => {
  test('sees a killed process close it, after what was sent before', async () => {
    for (let seed = 0; seed < 10; seed += 1) {
      const { simulation, server, here, there } = await connected(seed);
      there.connection.write(Buffer.from('last words'));
      server.kill();
      await simulation.runFor(100);
      expect(here.events).toHaveLength(2);
      if (here.events[1] === 'end') expect(bytesOf(here).toString()).toBe('last words');
    }
  });

  test('hears nothing from a paused process, whose kernel still takes bytes', async () => {
    const { simulation, server, here, there } = await connected(1);
    server.pause();
    here.connection.write(Buffer.from('hello'));
    await simulation.runFor(60_000);
    expect(here.connection.queuedBytes).toBe(0);
    expect(there.received).toHaveLength(0);
    server.resume();
    await simulation.runFor(10);
    expect(bytesOf(there).toString()).toBe('hello');
  });

  test('hears nothing from a machine without power, and a reset once it is up', async () => {
    const { simulation, client, server, here } = await connected(1);
    server.machine.losePower();
    await simulation.runFor(10_000);
    expect(here.events).toEqual(['open']);
    here.connection.write(Buffer.from('hello?'));
    const knocking = connect(client, 'tcp:beta:7000');
    await simulation.runFor(10_000);
    expect(here.events).toEqual(['open']);
    expect(knocking.events).toEqual(['EHOSTUNREACH']);
    server.machine.boot();
    await simulation.runFor(10_000);
    expect(here.events).toEqual(['open', 'ECONNRESET']);
  });

  test('may get what was on its way when the power went', async () => {
    let arrived = 0;
    for (let seed = 0; seed < 40; seed += 1) {
      const { simulation, server, here, there } = await connected(seed);
      there.connection.write(Buffer.from('last words'));
      server.machine.losePower();
      await simulation.runFor(100);
      if (bytesOf(here).length > 0) arrived += 1;
      expect(here.events).toEqual(['open']);
    }
    expect(arrived).toBeGreaterThan(5);
    expect(arrived).toBeLessThan(35);
  });

  test('is slow over a slow link', async () => {
    const { simulation, here, there, network } = await connected(1);
    network.setLink('alpha', 'beta', { latencyMs: [800, 900] });
    const startMs = simulation.nowMs;
    here.connection.write(Buffer.from('x'));
    await simulation.runUntil(() => there.received.length > 0);
    expect(simulation.nowMs - startMs).toBeGreaterThanOrEqual(800);
  });
});
