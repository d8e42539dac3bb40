import { describe, expect, test } from '@jest/globals';
import { filesOf, simulate } from '../../../../fixtures/simulation.ts';

const A = Buffer.alloc(4096, 'a');
const B = Buffer.alloc(4096, 'b');

describe('a paused process', () => {
  test('gets its timers late, in order, while its clock goes on', async () => {
    const simulation = simulate(1);
    const process = simulation.machine('alpha').process('one');
    const { clock } = process.platform;
    const fired: (readonly [string, number])[] = [];
    const startMs = clock.nowMs();
    for (const delayMs of [10, 20, 30]) {
      clock.timer(delayMs, () => fired.push([`${delayMs}`, clock.nowMs() - startMs]));
    }
    await simulation.runFor(15);
    process.pauseFor(5_000);
    await simulation.runFor(4_000);
    expect(fired.map(([name]) => name)).toEqual(['10']);
    await simulation.runFor(2_000);
    expect(fired.map(([name]) => name)).toEqual(['10', '20', '30']);
    for (const [, atMs] of fired.slice(1)) expect(atMs).toBeGreaterThan(5_000);
  });

  test('does not get a timer that it cancelled when it was due already', async () => {
    const simulation = simulate(1);
    const process = simulation.machine('alpha').process('one');
    const { clock } = process.platform;
    let fired = 0;
    const late = clock.timer(20, () => {
      fired += 1;
    });
    clock.timer(10, () => late.cancel());
    process.pauseFor(1_000);
    await simulation.runFor(2_000);
    expect(fired).toBe(0);
  });

  test('begins no new file operation', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    const process = machine.process('one');
    const { file } = await filesOf(process).create('/file');
    let done = 0;
    for (let index = 0; index < 6; index += 1) file.write(A, index * 4096, () => (done += 1));
    process.pause();
    await simulation.runFor(1_000);
    expect(done).toBe(0);
    // Four threads had begun; two writes wait for one.
    const other = await filesOf(machine.process('two')).open('/file', 'read');
    expect((await other.read(0, 100_000)).length).toBe(4 * 4096);
    process.resume();
    await simulation.runFor(10);
    expect(done).toBe(6);
  });
});

describe('a killed process', () => {
  test('is never called again', async () => {
    const simulation = simulate(1);
    const process = simulation.machine('alpha').process('one');
    const { file } = await filesOf(process).create('/file');
    let called = 0;
    const call = (): void => {
      called += 1;
    };
    process.platform.clock.timer(5, call);
    file.write(A, 0, call);
    void process.platform.files.exists('/file').then(call);
    process.platform.network.connect('tcp:alpha:1', { onData: call, onClose: call });
    process.kill();
    await simulation.runFor(200_000);
    expect(called).toBe(0);
    expect(process.state).toBe('gone');
  });

  test('lets begun writes land before it is gone, and those without a thread never', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    const process = machine.process('one');
    const { file } = await filesOf(process).create('/file');
    const effect = { kind: 'delay', delayMs: 5_000 } as const;
    machine.disk().addFault({ operation: 'write', effect });
    for (let index = 0; index < 6; index += 1) file.write(A, index * 4096, () => undefined);
    let goneAtMs = 0;
    process.onGone(() => {
      goneAtMs = simulation.nowMs;
    });
    process.kill();
    expect(process.state).toBe('dying');
    await simulation.runFor(20_000);
    expect(goneAtMs).toBeGreaterThan(5_000);
    expect(goneAtMs).toBeLessThan(6_000);
    machine.disk().clearFaults();
    const other = await filesOf(machine.process('two')).open('/file', 'read');
    expect((await other.read(0, 100_000)).length).toBe(4 * 4096);
  });

  test('that is reaped at once may still write over its successor', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    const process = machine.process('one');
    const { file } = await filesOf(process).create('/file');
    const effect = { kind: 'delay', delayMs: 5_000 } as const;
    machine.disk().addFault({ operation: 'write', countMax: 1, effect });
    file.write(A, 0, () => undefined);
    process.kill({ reapedAtOnce: true });
    expect(process.state).toBe('gone');
    const successor = await filesOf(machine.process('two')).open('/file', 'write');
    await successor.write(0, B);
    expect(await successor.read(0, 4096)).toEqual(B);
    await simulation.runFor(10_000);
    expect(await successor.read(0, 4096)).toEqual(A);
  });

  test('leaves the page cache to others', async () => {
    const simulation = simulate(1);
    const machine = simulation.machine('alpha');
    const process = machine.process('one');
    await (await filesOf(process).create('/file')).write(0, A);
    process.kill();
    const other = await filesOf(machine.process('two')).open('/file', 'read');
    expect(await other.read(0, 4096)).toEqual(A);
  });
});
