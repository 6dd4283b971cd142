/** Physical lines to statements: directives, continuations, comments, heredocs. Pure. */
export { detectSyntax, type FoundDirective, findDirective } from './directives.ts';
export { DockerfileSyntaxError, locate } from './error.ts';
export { chompHeredoc, findHeredocWord, heredocsOf, parseHeredocWord } from './heredoc.ts';
export { FILE_LIMIT, HEREDOC_LIMIT, LINE_LIMIT_BYTES, parseText } from './parse.ts';
export { KEYWORDS } from './statement.ts';
export { parseJsonArray } from './words.ts';
