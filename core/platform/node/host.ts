import { readFileSync } from 'node:fs';
import type { Host } from '../files.ts';

export class NodeHost implements Host {
  #bootId: string | null = null;

  bootId(): string {
    this.#bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return this.#bootId;
  }
}
