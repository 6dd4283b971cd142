/** Typed instructions; one file per instruction holds its parser. Pure. */
export { formatDuration, parseDuration } from './duration.ts';
export { parseInstruction, parseStages } from './parse.ts';
export { mountFrom, parseMount } from './run-mount.ts';
