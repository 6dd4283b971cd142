/**
 * Dockerfile to plan. Pure but for the bridge, which resolves base images.
 *
 * For whoever runs a plan:
 * - read the text with the limit of `FILE_LIMIT` characters (`#dockerfile/text/index.ts`) and hand it over as it is, byte order
 *   mark and all; `dockerfile.name` is only for messages and source ranges. An empty file is refused here with
 *   `the Dockerfile (NAME) cannot be empty`.
 * - `plan.stages` are in written order, but a stage may use a later one: run by the graph, print by `number`.
 * - run the vertices that `state` of the target needs; `orderVertices` gives them inputs first.
 * - a step with `vertex` makes (at most) one layer; its history entry is `step.history`, steps with `undefined` have none.
 * - replace `CONTENT_HASH` in `createdBy` by what was copied.
 * - source `local` named `context` is the build context, to be filtered by its ignore file before.
 * - the ignore file is `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` (`#dockerfile/ignore/index.ts`).
 */
import { DockerfileSyntaxError } from '#dockerfile/text/index.ts';
import { plan } from './plan.ts';
import type { Frontend } from './types.ts';

export { CONTENT_HASH } from './history.ts';

/**
 * Plans a Dockerfile: parses it, picks the stages `options.target` needs, asks for their base images, and lowers each
 * instruction to vertices, config and history in the words of `options.dialect`.
 *
 * @throws {DockerfileSyntaxError} `invalid_argument` with Docker's text and the lines; `resource_exhausted` past a limit;
 *   `unimplemented` for a flag of the other dialect. What the bridge throws passes.
 */
export const planDockerfile: Frontend = async (options, bridge) => {
  const { text, name } = options.dockerfile;
  if (text === '') {
    throw new DockerfileSyntaxError(
      options.dialect === 'classic'
        ? `the Dockerfile (${name}) cannot be empty`
        : 'the Dockerfile cannot be empty',
      undefined,
    );
  }
  return plan(options, bridge);
};
