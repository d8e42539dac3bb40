import { expect, test } from '@jest/globals';
import { holdingMount, mountedOn, parseMountInfo } from '../../../../agent/host/mount-table.ts';

const TEXT = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
36 22 98:0 /mnt1 /srv/with\\040blank rw,noatime master:3 propagate_from:2 - ext3 /dev/root rw
37 22 7:0 / /srv ro - tmpfs tmpfs rw
38 37 7:1 / /srv rw - xfs /dev/loop1 rw
`;

test('a line of mountinfo is taken apart, optional fields or not', () => {
  const [root, blank] = parseMountInfo(TEXT);
  expect(root).toEqual({
    id: '22',
    parentId: '1',
    device: '8:1',
    root: '/',
    mountPoint: '/',
    options: ['rw', 'relatime'],
    sharedGroup: '1',
    masterGroup: null,
    fileSystem: 'ext4',
    source: '/dev/sda1',
  });
  expect(blank).toMatchObject({
    root: '/mnt1',
    mountPoint: '/srv/with blank',
    sharedGroup: null,
    masterGroup: '3',
    source: '/dev/root',
  });
});

test('of mounts on one place the topmost counts', () => {
  const mounts = parseMountInfo(TEXT);
  expect(mountedOn(mounts, '/srv')?.fileSystem).toBe('xfs');
  expect(mountedOn(mounts, '/srv/')).toBeNull();
  expect(holdingMount(mounts, '/srv/a')?.device).toBe('7:1');
});

test('the mount that holds a path is the longest one, by whole names', () => {
  const mounts = parseMountInfo(TEXT);
  expect(holdingMount(mounts, '/srv2/a')?.device).toBe('8:1');
  expect(holdingMount(mounts, '/srv/with blank/a')?.device).toBe('98:0');
  expect(holdingMount([], '/')).toBeNull();
});

test('what is no line of mountinfo is passed over', () => {
  expect(parseMountInfo('garbage\n\n1 2\n')).toEqual([]);
});
