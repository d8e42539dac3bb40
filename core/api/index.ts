export * from './agent.ts';
export * from './client.ts';
export * from './doors.ts';
export * from './errors.ts';
export * from './nodes.ts';
export * from './options.ts';
export * from './volumes.ts';
