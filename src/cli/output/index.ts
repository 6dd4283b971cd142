export { formatError } from './error.ts';
export { escapeLine, escapeText } from './escape.ts';
export { type Column, formatList, type ListOptions } from './list.ts';
export { createProgressView, type ProgressMessage, type ProgressView, type Screen } from './progress.ts';
export { ellipsis, formatTable } from './table.ts';
export { compileTemplate, goJson } from './template.ts';
export {
  formatAge,
  formatBinarySize,
  formatDate,
  formatDuration,
  formatSize,
  parseSize,
  shortId,
} from './units.ts';
