import { expect, test } from '@jest/globals';
import { AssertionFailure } from '../../../../../core/assert.ts';
import { findMount } from '../../../../../core/platform/node/mount-info.ts';

const MOUNT_INFO = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /mnt rw - tmpfs tmpfs rw
31 30 8:1 / /mnt/pool rw shared:7 master:3 - xfs /dev/sda1 rw,attr2
32 30 8:2 /sub /mnt/pool\\040two rw - ext4 /dev/sda2 rw
40 22 8:3 / /data rw - ext4 /dev/sda3 rw
41 40 8:4 / /data rw - ext4 /dev/sda4 rw
`;

test.each([
  ['/', '22 254:0 /dev/vda'],
  ['/home/user', '22 254:0 /dev/vda'],
  ['/mnt', '30 0:25 tmpfs'],
  ['/mnt/pool', '31 8:1 /dev/sda1'],
  ['/mnt/pool/volume/head', '31 8:1 /dev/sda1'],
  ['/mnt/pools', '30 0:25 tmpfs'],
  ['/mnt/pool two/x', '32 8:2 /dev/sda2'],
  ['/data/x', '41 8:4 /dev/sda4'],
])('%s is on the mount %s', (path, expected) => {
  const { id, device, source } = findMount(MOUNT_INFO, path);
  expect(`${id} ${device} ${source}`).toBe(expected);
});

test('a system without any mount does not exist', () => {
  expect(() => findMount('', '/')).toThrow(AssertionFailure);
});
