/** Hints to the file system about where new files go. */
import { closeSync, constants, openSync } from 'node:fs';
import { check, native, PosixError } from './library.ts';

const GET_FLAGS = 0x80086601;
const SET_FLAGS = 0x40086602;
const TOP_DIRECTORY = 0x20000;

const ioctlCall = native('int ioctl(int fd, unsigned long request, uint8_t *argument)');

/**
 * Asks ext4 to give each directory made in `path` a region of the disk of its own, as it does for home directories (`chattr +T`).
 * For trees that come and go: ext4 does not take an inode again within minutes of its removal, and a new file looks through all of
 * those of its region first. Other file systems refuse the hint; returns whether it was taken.
 */
export function spreadDirectories(path: string): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const flags = Buffer.alloc(8);
    check(ioctlCall(fd, GET_FLAGS, flags), 'ioctl', path);
    flags.writeUInt32LE((flags.readUInt32LE(0) | TOP_DIRECTORY) >>> 0, 0);
    check(ioctlCall(fd, SET_FLAGS, flags), 'ioctl', path);
    return true;
  } catch (error) {
    if (error instanceof PosixError) return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}
