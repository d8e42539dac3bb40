import { expect, test } from '@jest/globals';
import { parseMkfsOptions } from '../../../../agent/filesystem/mkfs-options.ts';

test('options become arguments, with the value apart or joined to its letter', () => {
  expect(parseMkfsOptions('ext4', '-m 1  -O ^has_journal,64bit -i16384')).toEqual([
    '-m',
    '1',
    '-O',
    '^has_journal,64bit',
    '-i',
    '16384',
  ]);
  expect(parseMkfsOptions('xfs', '-d agcount=4,su=64k -n size=8192')).toEqual([
    '-d',
    'agcount=4,su=64k',
    '-n',
    'size=8192',
  ]);
  expect(parseMkfsOptions('ext4', '   ')).toEqual([]);
});

test.each([
  ['ext4', '-F'],
  ['ext4', '-n'],
  ['ext4', '-E offset=4096'],
  ['ext4', '-J device=/dev/sda'],
  ['ext4', '-d /etc'],
  ['ext4', '-b 512'],
  ['ext4', '/dev/sda'],
  ['ext4', '-m'],
  ['ext4', '-m 1 -m 2'],
  ['ext4', '-L $(reboot)'],
  ['ext4', '-O a;reboot'],
  ['ext4', '--help'],
  ['xfs', '-d file=1,name=/dev/sda'],
  ['xfs', '-l logdev=/dev/sda'],
  ['xfs', '-f'],
  ['xfs', '-p /etc/passwd'],
  ['xfs', '-m uuid=11111111-2222-4333-8444-555555555555'],
] as const)('%s does not take %s', (kind, text) => {
  expect(() => parseMkfsOptions(kind, text)).toThrow(/fsOptions: ".*accepted options: -/);
});
