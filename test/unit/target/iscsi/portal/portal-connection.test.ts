import { describe, expect, test } from '@jest/globals';
import type { Connection as Socket } from '../../../../../core/platform/index.ts';
import { MiB } from '../../../../../core/units.ts';
import { PortalConnection } from '../../../../../target/iscsi/portal/portal-connection.ts';
import { makeTarget } from '../../../../fixtures/iscsi-connection.ts';
import { settle } from '../../../../fixtures/manual-clock.ts';

class FakeSocket implements Socket {
  readonly remote = 'tcp:192.0.2.1:1';
  queuedBytes = 0;
  readonly did: string[] = [];

  write(bytes: Buffer): boolean {
    this.did.push(`write ${bytes.length}`);
    this.queuedBytes += bytes.length;
    return this.queuedBytes < MiB;
  }

  cork(): void {
    this.did.push('cork');
  }

  uncork(): void {
    this.did.push('uncork');
  }

  pause(): void {
    this.did.push('pause');
  }

  resume(): void {
    this.did.push('resume');
  }

  end(): void {
    this.did.push('end');
  }

  destroy(): void {
    this.did.push('destroy');
  }
}

function joined() {
  const socket = new FakeSocket();
  const { target } = makeTarget();
  let closed = 0;
  const connection = new PortalConnection(socket, {
    target,
    local: '192.0.2.9:3260',
    closed: () => {
      closed += 1;
    },
  });
  return { socket, connection, closedCount: () => closed };
}

describe('a connection of the portal', () => {
  test('sends all of one turn between one cork and one uncork', async () => {
    const { socket, connection } = joined();
    connection.send(Buffer.alloc(10));
    connection.wantsFlush();
    connection.send(Buffer.alloc(20));
    connection.wantsFlush();
    expect(socket.did).toEqual(['cork', 'write 10', 'write 20']);
    await settle();
    expect(socket.did.slice(3)).toEqual(['uncork']);
  });

  test('is not read from while more than 8 MiB of its answers are not taken', () => {
    const { socket, connection } = joined();
    connection.send(Buffer.alloc(8 * MiB));
    expect(connection.isCongested).toBe(false);
    connection.onDrain();
    expect(socket.did).not.toContain('resume');
    connection.send(Buffer.alloc(1));
    expect(connection.isCongested).toBe(true);
    connection.send(Buffer.alloc(1));
    expect(socket.did.filter((what) => what === 'pause')).toHaveLength(1);
    connection.onDrain();
    expect(connection.isCongested).toBe(false);
    expect(socket.did.at(-1)).toBe('resume');
  });

  test('sends nothing after its end, and is over once', async () => {
    const { socket, connection, closedCount } = joined();
    connection.send(Buffer.alloc(10));
    connection.wantsFlush();
    connection.end();
    connection.end();
    connection.send(Buffer.alloc(10));
    connection.wantsFlush();
    await settle();
    expect(socket.did).toEqual(['cork', 'write 10', 'uncork', 'end']);
    connection.onClose();
    expect(closedCount()).toBe(1);
  });
});
