/** The package as a library: `import { exceptionCallbacks } from 'tencent-chat-exporter'`. */
export { SettingsError } from './config.ts';
export {
  type ExceptionCallbacks,
  type ExceptionCallbacksStatus,
  exceptionCallbacks,
} from './exception-callbacks.ts';
export type { CallbackContext, CallbackMiddleware } from './http/middleware.ts';
export type { ScrapeContext } from './http/scrape.ts';
export type { LogFields, LogLevel } from './log.ts';
export type { ExceptionCallbacksOptions, LogFunction } from './options.ts';
