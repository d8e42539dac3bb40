/** The test initiator against a target that is not ours: what it says of ours can be believed. */
import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import { KiB, MiB } from '../../core/units.ts';
import { InitiatorError } from '../fixtures/iscsi-answer.ts';
import { IscsiInitiator } from '../fixtures/iscsi-initiator.ts';
import { needs } from '../fixtures/needs.ts';
import { startTgt, TGT_COMMANDS } from '../fixtures/rigs/tgt.ts';
import { inquiryCdb, SCSI_STATUS, unmapCdb } from '../fixtures/scsi-cdb.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const BLOCK_BYTES = 512;
const real = needs({ linux: true, root: true, command: TGT_COMMANDS });

type Call = (done: (error: InitiatorError | null) => void) => void;

async function finished(call: Call): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    call((error) => (error === null ? resolve() : reject(error)));
  });
}

real.test('the initiator reads back what it wrote, of every size and on every way', async () => {
  await using folder = await temporaryFolder('initiator');
  await using tgt = await startTgt(folder.path, 64 * MiB);
  for (const keys of [{}, { ImmediateData: 'No' }, { InitialR2T: 'Yes', ImmediateData: 'No' }]) {
    const initiator = await IscsiInitiator.open({ ...tgt, keys });
    await initiator.makeReady();
    // Immediate data alone, unsolicited data, one transfer asked for, several asked for.
    for (const sizeBytes of [512, 4 * KiB, 128 * KiB, 300 * KiB, 4 * MiB]) {
      const written = randomBytes(sizeBytes);
      const found = Buffer.alloc(sizeBytes);
      await finished((done) => initiator.write(64, written, done));
      await finished((done) => initiator.flush(done));
      await finished((done) => initiator.read(64, found, done));
      expect(found.equals(written)).toBe(true);
    }
    await initiator.logout();
  }
});

real.test('256 commands in flight are each answered once, with their own data', async () => {
  await using folder = await temporaryFolder('initiator');
  await using tgt = await startTgt(folder.path, 64 * MiB);
  const initiator = await IscsiInitiator.open(tgt);
  await initiator.makeReady();
  const blocks = Array.from({ length: 256 }, (_, index) => Buffer.alloc(BLOCK_BYTES, index));
  const all = (call: (block: Buffer, index: number) => Call) =>
    Promise.all(blocks.map((block, index) => finished(call(block, index))));
  await all((block, index) => (done) => initiator.write(index, block, done));
  const found = blocks.map(() => Buffer.alloc(BLOCK_BYTES));
  await all((_, index) => (done) => initiator.read(index, found[index] ?? Buffer.of(), done));
  expect(found.every((block, index) => block.equals(blocks[index] ?? Buffer.of()))).toBe(true);
  await initiator.logout();
});

real.test('answers with sense, short answers, pings and discovery come through', async () => {
  await using folder = await temporaryFolder('initiator');
  await using tgt = await startTgt(folder.path, 64 * MiB);
  const initiator = await IscsiInitiator.open(tgt);
  await initiator.makeReady();
  const pastTheEnd = (64 * MiB) / BLOCK_BYTES;
  const failure = await finished((done) =>
    initiator.read(pastTheEnd, Buffer.alloc(BLOCK_BYTES), done),
  ).catch((error: InitiatorError) => error.data);
  expect(failure).toMatchObject({
    code: 'commandFailed',
    status: SCSI_STATUS.checkCondition,
    // ILLEGAL REQUEST, LOGICAL BLOCK ADDRESS OUT OF RANGE.
    sense: { key: 5, additionalCode: 0x21 },
  });

  const inquiry = await initiator.ask({ cdb: inquiryCdb(null), readInto: Buffer.alloc(255) });
  expect(inquiry.data.length).toBeLessThan(255);
  expect(inquiry.residualBytes).toBe(255 - inquiry.data.length);
  expect(inquiry.data.subarray(8, 16).toString()).toBe('IET     ');

  const { cdb, list } = unmapCdb(0, 8);
  expect(await initiator.ask({ cdb, write: list })).toMatchObject({ response: 0 });

  expect((await initiator.ping(Buffer.from('are you there'))).toString()).toBe('are you there');
  await initiator.logout();

  const { host, port } = tgt;
  const discovery = await IscsiInitiator.open({ host, port });
  expect(await discovery.discover()).toContainEqual(['TargetName', tgt.targetName]);
  await discovery.logout();
});

real.test('commands in flight when the target dies fail as disconnected', async () => {
  await using folder = await temporaryFolder('initiator');
  await using tgt = await startTgt(folder.path, 64 * MiB);
  const initiator = await IscsiInitiator.open(tgt);
  await initiator.makeReady();
  process.kill(tgt.pid, 'SIGKILL');
  await initiator.lost;
  await expect(finished((done) => initiator.flush(done))).rejects.toMatchObject({
    data: { code: 'disconnected' },
  });
});

real.test('a login that the target refuses says how it was refused', async () => {
  await using folder = await temporaryFolder('initiator');
  await using tgt = await startTgt(folder.path, 64 * MiB);
  const login = IscsiInitiator.open({ ...tgt, targetName: 'iqn.2026-01.nobody:nothing' });
  // Initiator error, target not found (RFC 7143 §11.13.5).
  await expect(login).rejects.toMatchObject({
    data: { code: 'loginRefused', statusClass: 2, detail: 3 },
  });
});
