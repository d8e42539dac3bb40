import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import type { BlockDevice } from '../../../../../core/block/block-device.ts';
import { MemoryBlockDevice } from '../../../../../core/block/memory-block-device.ts';
import { nodePlatform } from '../../../../../core/platform/node/index.ts';
import { KiB, MiB } from '../../../../../core/units.ts';
import { openPortal, type Portal } from '../../../../../target/iscsi/index.ts';
import { CONNECTION_COUNT_MAX } from '../../../../../target/iscsi/portal/portal.ts';
import { LogicalUnit, UNIT_ATTENTION } from '../../../../../target/scsi/index.ts';
import { HeldDevice } from '../../../../fixtures/held-device.ts';
import { type InitiatorOptions, IscsiInitiator } from '../../../../fixtures/iscsi-initiator.ts';
import { ManualClock } from '../../../../fixtures/manual-clock.ts';
import { UNIT_ID } from '../../../../fixtures/scsi-unit.ts';

const TARGET_NAME = 'iqn.2016-09.com.openebs:portal';

type Served = { readonly portal: Portal; readonly port: number; readonly clock: ManualClock };

async function serve(
  device: BlockDevice,
  admits: (initiatorName: string) => boolean = () => true,
): Promise<Served> {
  const { network, random } = nodePlatform();
  const clock = new ManualClock();
  const portal = await openPortal(
    { network, clock, random, address: 'tcp:127.0.0.1:0', log: () => undefined },
    {
      targetName: TARGET_NAME,
      logicalUnit: new LogicalUnit({ device, identity: { volumeId: UNIT_ID } }),
      admits,
    },
  );
  return { portal, port: Number(portal.address.split(':').at(-1)), clock };
}

/** Logged in, the unit attention of a new session taken. */
async function logIn(port: number, options: Partial<InitiatorOptions> = {}) {
  const initiator = await IscsiInitiator.open({
    host: '127.0.0.1',
    port,
    targetName: TARGET_NAME,
    ...options,
  });
  await statusOf(initiator);
  return initiator;
}

function statusOf(initiator: IscsiInitiator): Promise<number> {
  return new Promise((resolve, reject) => {
    initiator.command({ cdb: Buffer.alloc(16) }, (error, answer) => {
      if (answer === null) reject(error ?? new Error('neither answer nor error'));
      else resolve(answer.status);
    });
  });
}

/** Real sockets have their own time: turns of the event loop, until it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}

const done = (start: (end: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)));
  });

describe('the portal', () => {
  test('carries reads and writes of many sizes at once', async () => {
    const served = await serve(new MemoryBlockDevice({ sizeBytes: 64 * MiB }));
    await using portal = served.portal;
    expect(portal.sessionCount).toBe(0);
    const initiator = await logIn(served.port);
    const sizes = [512, 4 * KiB, 64 * KiB, 300 * KiB, MiB, 4 * MiB];
    const writes = sizes.map((size, index) => ({
      block: (index * 8 * MiB) / 512,
      data: Buffer.alloc(
        size,
        Buffer.from(Array.from({ length: 509 }, (_, at) => (at * (index + 3)) & 0xff)),
      ),
    }));
    await Promise.all(
      writes.map(({ block, data }) => done((end) => initiator.write(block, data, end))),
    );
    await done((end) => initiator.flush(end));
    const found = writes.map(({ data }) => Buffer.alloc(data.length));
    await Promise.all(
      writes.map(({ block }, index) =>
        done((end) => initiator.read(block, found[index] as Buffer, end)),
      ),
    );
    expect(writes.map(({ data }, index) => data.equals(found[index] as Buffer))).toEqual(
      Array(sizes.length).fill(true),
    );
    await initiator.logout();
    await until(() => portal.sessionCount === 0);
  });

  test('tells discovery the address the initiator came to', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using _portal = served.portal;
    const initiator = await IscsiInitiator.open({ host: '127.0.0.1', port: served.port });
    expect(await initiator.discover()).toEqual([
      ['TargetName', TARGET_NAME],
      ['TargetAddress', `127.0.0.1:${served.port},1`],
    ]);
    await initiator.logout();
  });

  test('lets in whom it is told to, asked anew at each login', async () => {
    const admitted = new Set(['iqn.friend']);
    const served = await serve(new HeldDevice(MiB), (name) => admitted.has(name));
    await using _portal = served.portal;
    const friend = await logIn(served.port, { initiatorName: 'iqn.friend' });
    admitted.clear();
    await expect(logIn(served.port, { initiatorName: 'iqn.friend' })).rejects.toMatchObject({
      data: { code: 'loginRefused', statusClass: 2, detail: 2 },
    });
    expect(await statusOf(friend)).toBe(0);
    friend.destroy();
  });

  test('takes no more connections than it may', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using _portal = served.portal;
    const { network } = nodePlatform();
    let closed = 0;
    const connections = Array.from({ length: CONNECTION_COUNT_MAX + 3 }, () =>
      network.connect(`tcp:127.0.0.1:${served.port}`, {
        onData: () => undefined,
        onClose: () => {
          closed += 1;
        },
      }),
    );
    await until(() => closed === 3);
    for (const connection of connections) connection.destroy();
    await until(() => closed === connections.length);
  });

  test('lets an initiator in though others fill it up with connections that log in to nothing', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using _portal = served.portal;
    const { network } = nodePlatform();
    const first = await logIn(served.port);
    const idle = Array.from({ length: CONNECTION_COUNT_MAX + 3 }, () =>
      network.connect(`tcp:127.0.0.1:${served.port}`, {
        onData: () => undefined,
        onClose: () => undefined,
      }),
    );
    const second = await logIn(served.port, { initiatorName: 'iqn.2026-01.test:second' });
    expect(await statusOf(first)).toBe(0);
    for (const connection of idle) connection.destroy();
    for (const initiator of [first, second]) initiator.destroy();
  });

  test('closes who does not log in within 15 seconds, and pings who is silent', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using _portal = served.portal;
    const initiator = await logIn(served.port);
    let isClosed = false;
    nodePlatform().network.connect(`tcp:127.0.0.1:${served.port}`, {
      onData: () => undefined,
      onClose: () => {
        isClosed = true;
      },
    });
    // The initiator answers pings as long as it lives.
    for (let second = 0; second < 40; second += 1) await served.clock.passMs(1_000);
    await until(() => isClosed);
    expect(await statusOf(initiator)).toBe(0);
    initiator.destroy();
  });

  test('raises unit attentions on all sessions', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using portal = served.portal;
    const [one, two] = [await logIn(served.port), await logIn(served.port, { isid: 2 })];
    portal.raiseUnitAttention(UNIT_ATTENTION.capacityChanged);
    expect(await Promise.all([statusOf(one), statusOf(two)])).toEqual([2, 2]);
    expect(await Promise.all([statusOf(one), statusOf(two)])).toEqual([0, 0]);
    one.destroy();
    two.destroy();
  });

  test('drops all sessions at once, and is done when the device has settled', async () => {
    const device = new HeldDevice(MiB);
    const served = await serve(device);
    await using portal = served.portal;
    const initiator = await logIn(served.port);
    initiator.write(0, Buffer.alloc(512), () => undefined);
    await until(() => device.calls.length === 1);
    let isDropped = false;
    const dropped = portal.dropAllSessions().then(() => {
      isDropped = true;
    });
    await initiator.lost;
    expect([isDropped, portal.sessionCount]).toEqual([false, 1]);
    device.finishAll();
    await dropped;
    expect(portal.sessionCount).toBe(0);
    await (await logIn(served.port)).logout();
  });

  test('closes in order: asks for logout, waits a little, then closes what is left', async () => {
    const served = await serve(new HeldDevice(MiB));
    const initiator = await logIn(served.port);
    const closed = served.portal.close();
    for (let second = 0; second < 4; second += 1) await served.clock.passMs(1_000);
    await closed;
    await initiator.lost;
    await expect(logIn(served.port)).rejects.toThrow();
    await served.portal.close();
    expect(served.clock.timerCount).toBe(0);
  });

  test('says so when its address is taken', async () => {
    const served = await serve(new HeldDevice(MiB));
    await using portal = served.portal;
    const { network, clock, random } = nodePlatform();
    const again = openPortal(
      { network, clock, random, address: portal.address, log: () => undefined },
      {
        targetName: TARGET_NAME,
        logicalUnit: new LogicalUnit({
          device: new HeldDevice(MiB),
          identity: { volumeId: UNIT_ID },
        }),
        admits: () => true,
      },
    );
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
