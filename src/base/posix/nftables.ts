/** Rules through libnftables in this process: 0.1 ms an element where a spawned `nft` takes 6. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { koffiModule } from './library.ts';

/** A firewall that takes commands in nft's own language. */
export interface Firewall {
  /** Runs commands as one transaction. @throws {CodedError} `internal` with nft's words. */
  run(commands: string): void;
}

/**
 * Opens libnftables in the current network namespace.
 * @throws {CodedError} `failed_precondition` when the library is not installed.
 */
export function openFirewall(): Firewall {
  let library: ReturnType<ReturnType<typeof koffiModule>['load']>;
  try {
    library = koffiModule().load('libnftables.so.1');
  } catch (error) {
    throw new CodedError('failed_precondition', `cannot load libnftables: ${messageOf(error)}`, {
      cause: error,
      help: {
        id: 'daemon/no-nftables',
        cause: 'libnftables.so.1 is not installed',
        fix: ['sudo apt-get install nftables'],
      },
    });
  }
  const newContext = library.func('void *nft_ctx_new(uint32_t flags)');
  const bufferOutput = library.func('int nft_ctx_buffer_output(void *ctx)');
  const bufferError = library.func('int nft_ctx_buffer_error(void *ctx)');
  const runBuffer = library.func('int nft_run_cmd_from_buffer(void *ctx, const char *commands)');
  const readError = library.func('const char *nft_ctx_get_error_buffer(void *ctx)');
  const context: unknown = newContext(0);
  bufferOutput(context);
  bufferError(context);
  return {
    run(commands) {
      if ((runBuffer(context, commands) as number) === 0) return;
      throw new CodedError(
        'internal',
        `cannot change the firewall: ${String(readError(context)).trim().split('\n')[0]}`,
      );
    },
  };
}
