export type { LogFields, Logger, LogLevel } from '../platform/logger.ts';
export { createLogger, type LoggerOptions } from './logger.ts';
