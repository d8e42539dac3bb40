import { describe, expect, test } from '@jest/globals';
import { MiB } from '../../../../core/units.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { cdb10, cdb16, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

const ALL = 0x02;
const ONE_BLOCK = 0x06;

async function withPattern(): Promise<{ unit: UnitUnderTest; data: Buffer }> {
  const unit = new UnitUnderTest();
  const data = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 5) & 0xff));
  await unit.send({ cdb: cdb10(0x2a, 0, 8), dataOut: Buffer.from(data) });
  return { unit, data };
}

describe('VERIFY', () => {
  test('with BYTCHK=01 compares everything, and tells the first byte that differs', async () => {
    const { unit, data } = await withPattern();
    expect(await unit.send({ cdb: cdb10(0x2f, 0, 8, ALL), dataOut: data })).toMatchObject({
      status: 0,
    });
    const other = Buffer.from(data);
    other[1000] = 0xee;
    const answer = await unit.send({ cdb: cdb16(0x8f, 0, 8, ALL), dataOut: other });
    expect(answer.sense).toEqual({ key: 0xe, code: 0x1d00, information: 1000 });
  });

  test('with BYTCHK=11 compares each block with the one', async () => {
    const { unit } = await withPattern();
    const block = Buffer.alloc(512, 9);
    await unit.send({ cdb: cdb10(0x41, 0, 8), dataOut: block });
    const same = await unit.send({ cdb: cdb10(0x2f, 0, 8, ONE_BLOCK), dataOut: block });
    expect(same.status).toBe(0);
    await unit.send({ cdb: cdb10(0x2a, 5, 1), dataOut: Buffer.alloc(512, 8) });
    const differs = await unit.send({ cdb: cdb10(0x2f, 0, 8, ONE_BLOCK), dataOut: block });
    expect(differs.sense).toMatchObject({ key: 0xe });
  });

  test('with BYTCHK=00 reads the medium, in steps, and compares nothing', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const verify = unit.start({ cdb: cdb16(0x8f, 0, 4096) });
    device.finishNext();
    device.finishNext();
    expect(device.history).toEqual([`read 0+${MiB}`, `read ${MiB}+${MiB}`]);
    expect(verify.now()).toMatchObject({ status: 0 });
  });

  test('refuses BYTCHK=10, which is reserved', async () => {
    const { unit } = await withPattern();
    const answer = await unit.send({ cdb: cdb10(0x2f, 0, 1, 0x04), dataOut: Buffer.alloc(512) });
    expect(answer.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 1, bitIndex: 2 } });
  });

  test('ends between two steps once it is aborted', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const verify = unit.start({ cdb: cdb16(0x8f, 0, 4096) });
    verify.task.aborted = true;
    device.finishNext();
    expect(device.calls).toEqual([]);
    expect(verify.now()).not.toBeNull();
  });
});
