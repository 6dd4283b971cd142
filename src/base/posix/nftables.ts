/** Rules through libnftables in this process: 0.1 ms an element where a spawned `nft` takes 6. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { koffiModule } from './library.ts';

/** A firewall that takes commands in nft's own language. */
export interface Firewall extends Disposable {
  /** Runs commands as one transaction. @throws {CodedError} `internal` with nft's words. */
  run(commands: string): void;
}

interface Library {
  readonly newContext: (flags: number) => unknown;
  readonly freeContext: (context: unknown) => void;
  readonly bufferOutput: (context: unknown) => number;
  readonly bufferError: (context: unknown) => number;
  readonly runBuffer: (context: unknown, commands: string) => number;
  readonly readError: (context: unknown) => string;
}

let loaded: Library | undefined;

/**
 * Opens libnftables in the network namespace of the calling thread; the firewall stays with it.
 * @throws {CodedError} `failed_precondition` when the library is not installed.
 */
export function openFirewall(): Firewall {
  loaded ??= loadLibrary();
  const { newContext, freeContext, bufferOutput, bufferError, runBuffer, readError } = loaded;
  const context = newContext(0);
  bufferOutput(context);
  bufferError(context);
  return {
    run(commands) {
      if (runBuffer(context, commands) === 0) return;
      throw new CodedError(
        'internal',
        `cannot change the firewall: ${String(readError(context)).trim().split('\n')[0]}`,
      );
    },
    [Symbol.dispose]: () => freeContext(context),
  };
}

function loadLibrary(): Library {
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
  return {
    newContext: library.func('void *nft_ctx_new(uint32_t flags)'),
    freeContext: library.func('void nft_ctx_free(void *ctx)'),
    bufferOutput: library.func('int nft_ctx_buffer_output(void *ctx)'),
    bufferError: library.func('int nft_ctx_buffer_error(void *ctx)'),
    runBuffer: library.func('int nft_run_cmd_from_buffer(void *ctx, const char *commands)'),
    readError: library.func('const char *nft_ctx_get_error_buffer(void *ctx)'),
  };
}
