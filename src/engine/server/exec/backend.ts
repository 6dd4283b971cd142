import type { ContainerService } from '#container/types.ts';

/** What the exec routes need. */
export type ExecBackend = Pick<ContainerService, 'createExec' | 'getExec' | 'startExec' | 'resizeExec'>;
