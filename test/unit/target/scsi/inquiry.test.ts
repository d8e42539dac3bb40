import { describe, expect, test } from '@jest/globals';
import { MemoryBlockDevice } from '../../../../core/block/memory-block-device.ts';
import { GiB, MiB, TiB } from '../../../../core/units.ts';
import { nameAddressOf } from '../../../../target/scsi/identity.ts';
import { LogicalUnit } from '../../../../target/scsi/index.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { UNIT_ID, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

function inquiry(page: number | null, allocationBytes = 255): number[] {
  return [0x12, page === null ? 0 : 1, page ?? 0, allocationBytes >> 8, allocationBytes & 0xff, 0];
}

async function pageOf(unit: UnitUnderTest, page: number): Promise<Buffer> {
  const answer = await unit.cdb(inquiry(page));
  expect(answer.status).toBe(0);
  expect(answer.data[1]).toBe(page);
  expect(answer.data.readUInt16BE(2)).toBe(answer.data.length - 4);
  return answer.data;
}

describe('INQUIRY', () => {
  test('tells what the unit is, in ASCII filled with spaces', async () => {
    const { data } = await new UnitUnderTest().cdb(inquiry(null));
    expect(data[0]).toBe(0);
    expect(data[2]).toBe(6);
    expect(data[4]).toBe(data.length - 5);
    expect(data.toString('latin1', 8, 36)).toBe('OPENEBS Volume          0001');
    const claims = [58, 60, 62, 64].map((at) => data.readUInt16BE(at));
    expect(claims).toEqual([0xa0, 0x960, 0x460, 0x4c0]);
  });

  test('is cut to the allocation length', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.cdb(inquiry(null, 5))).data).toHaveLength(5);
    expect((await unit.cdb(inquiry(null, 0))).data).toHaveLength(0);
  });

  test('refuses a page code without EVPD, an unknown page, and CMDDT', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.cdb([0x12, 0, 0x80, 0, 255, 0])).sense).toMatchObject({
      code: 0x2400,
      field: { byteIndex: 2 },
    });
    expect((await unit.cdb(inquiry(0xc0))).sense).toMatchObject({ code: 0x2400 });
    expect((await unit.cdb([0x12, 2, 0, 0, 255, 0])).sense).toMatchObject({
      field: { byteIndex: 1, bitIndex: 1 },
    });
  });

  test('lists its pages in ascending order, and has each of them', async () => {
    const unit = new UnitUnderTest();
    const list = [...(await pageOf(unit, 0)).subarray(4)];
    expect(list).toEqual([0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for (const page of list) await pageOf(unit, page);
  });

  test('names the volume by its id: serial number, NAA and T10 name', async () => {
    const unit = new UnitUnderTest();
    const serial = (await pageOf(unit, 0x80)).toString('latin1', 4);
    expect(serial).toBe(UNIT_ID.replaceAll('-', ''));
    const designators = await pageOf(unit, 0x83);
    // Locally assigned NAA of 8 bytes, then the T10 name, then the relative port.
    expect([...designators.subarray(4, 9)]).toEqual([0x01, 0x03, 0, 8, 0x3d]);
    expect(designators.toString('latin1', 20, 28)).toBe('OPENEBS ');
    expect(designators.toString('latin1', 28, 64)).toBe(UNIT_ID);
    expect([...designators.subarray(64)]).toEqual([0x51, 0x94, 0, 4, 0, 0, 0, 1]);
  });

  test('names of two volumes differ, whichever random digits of the id do', () => {
    const identityOf = (volumeId: string) => {
      const { device } = new UnitUnderTest().unit;
      return new LogicalUnit({ device, identity: { volumeId } }).identity;
    };
    const names = new Set<string>();
    const digits = UNIT_ID.replaceAll('-', '').length;
    for (let at = 0; at < digits; at += 1) {
      const flat = UNIT_ID.replaceAll('-', '').split('');
      flat[at] = flat[at] === '1' ? '2' : '1';
      const id = flat.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
      names.add(nameAddressOf(identityOf(id.toUpperCase())).toString('hex'));
    }
    // 15 digits of 32 are in the name: each of them makes one of its own, the others none.
    expect(names.size).toBe(16);
    expect([...names].every((name) => name.startsWith('3'))).toBe(true);
  });

  test('block limits are what the commands hold to', async () => {
    const page = await pageOf(new UnitUnderTest(), 0xb0);
    expect(page).toHaveLength(64);
    expect(page[4]).toBe(1);
    expect(page[5]).toBe(255);
    expect(page.readUInt16BE(6)).toBe(8);
    expect(page.readUInt32BE(8)).toBe(8192);
    expect(page.readUInt32BE(12)).toBe(2048);
    expect(page.readUInt32BE(20)).toBe(2 ** 20);
    expect(page.readUInt32BE(24)).toBe(256);
    expect(page.readUInt32BE(28)).toBe(0);
    expect(page.readBigUInt64BE(36)).toBe(32768n);
  });

  test('unmapped blocks read as zeros, says the provisioning page', async () => {
    const page = await pageOf(new UnitUnderTest(), 0xb2);
    expect([...page.subarray(4)]).toEqual([0, 0xe4, 2, 0]);
  });
});

describe('READ CAPACITY', () => {
  const readCapacity16 = (bytes: number) => [0x9e, 0x10, ...Array(11).fill(0), bytes, 0, 0];

  test('tells the last block, 512 bytes on 4 KiB, thin, unmapped blocks being zeros', async () => {
    const unit = new UnitUnderTest();
    const short = await unit.cdb([0x25]);
    expect(short.data).toEqual(Buffer.from([0, 0, 0x3f, 0xff, 0, 0, 2, 0]));
    const long = await unit.cdb(readCapacity16(32));
    expect(long.data.readBigUInt64BE(0)).toBe(16383n);
    expect(long.data.readUInt32BE(8)).toBe(512);
    expect([...long.data.subarray(12, 16)]).toEqual([0, 3, 0xc0, 0]);
    expect((await unit.cdb(readCapacity16(12))).data).toHaveLength(12);
  });

  test('(10) says all ones where its field is too short', async () => {
    const unit = new UnitUnderTest({ device: new HeldDevice(4 * TiB) });
    expect((await unit.cdb([0x25])).data.readUInt32BE(0)).toBe(0xffffffff);
    const long = await unit.cdb(readCapacity16(32));
    expect(long.data.readBigUInt64BE(0)).toBe(BigInt((4 * TiB) / 512 - 1));
  });

  test('of a 4Kn unit has no exponent', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 8 * MiB });
    const unit = new UnitUnderTest({ device, logicalBlockBytes: 4096 });
    const { data } = await unit.cdb(readCapacity16(32));
    expect(data.readUInt32BE(8)).toBe(4096);
    expect(data[13]).toBe(0);
  });

  test('refuses an LBA, and an unknown service action', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.cdb([0x25, 0, 0, 0, 0, 1])).sense).toMatchObject({ code: 0x2400 });
    const unknown = await unit.cdb([0x9e, 0x12]);
    expect(unknown.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 1 } });
  });
});

describe('REPORT LUNS', () => {
  const reportLuns = (select: number, bytes: number) => [
    0xa0,
    0,
    select,
    0,
    0,
    0,
    0,
    0,
    0,
    bytes,
    0,
    0,
  ];

  test('knows LUN 0 and no well-known unit', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.cdb(reportLuns(0, 16))).data).toEqual(
      Buffer.from([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    );
    expect((await unit.cdb(reportLuns(1, 16))).data).toEqual(Buffer.alloc(8));
    expect((await unit.cdb(reportLuns(0x10, 16))).sense).toMatchObject({ code: 0x2400 });
    expect((await unit.cdb(reportLuns(0, 15))).sense).toMatchObject({ code: 0x2400 });
  });
});

describe('a LUN that is not there', () => {
  test('says so, and lists what is there', async () => {
    const unit = new UnitUnderTest({ keepsAttention: true });
    const absent = await unit.send({ cdb: inquiry(null), lun: 1 });
    expect(absent).toMatchObject({ status: 0 });
    expect(absent.data[0]).toBe(0x7f);
    const page = await unit.send({ cdb: inquiry(0x83), lun: 1 });
    expect(page.sense).toMatchObject({ code: 0x2400 });
    const sense = await unit.send({ cdb: [0x03, 0, 0, 0, 18, 0], lun: 1 });
    expect(sense.data.readUInt16BE(12)).toBe(0x2500);
    const luns = await unit.send({ cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], lun: 1 });
    expect(luns.data).toHaveLength(16);
    for (const opcode of [0x00, 0x28, 0x2a, 0xff]) {
      const refused = await unit.send({ cdb: [opcode], lun: 1 });
      expect(refused).toMatchObject({ status: 2, sense: { key: 5, code: 0x2500 } });
    }
  });

  test('flat addressing of LUN 0 is LUN 0', async () => {
    const unit = new UnitUnderTest({ device: new MemoryBlockDevice({ sizeBytes: GiB }) });
    expect(await unit.send({ cdb: [0], lun: 0x4000 })).toMatchObject({ status: 0 });
  });
});
