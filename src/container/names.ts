import { randomInt } from 'node:crypto';
import { CodedError } from '#base/errors/index.ts';

const ADJECTIVES =
  'amber ample apt bold brave breezy bright brisk calm candid careful cheerful clear clever cosy crisp curious daring deft eager earnest easy fair fearless fine fond frank fresh gentle glad golden graceful grand handy happy hardy hearty honest humble jolly keen kind lively lucid lucky mellow merry mighty mild modest neat nimble noble patient placid plucky polite proud pure quick quiet rapid ready robust rosy serene sharp shiny silent sincere smart smooth snug sober solid spry steady stout sturdy sunny swift tender tidy tranquil trusty upbeat vivid warm wise witty zesty'.split(
    ' ',
  );
/** People whom ships, science and computing owe something. */
const SURNAMES =
  'adams anning archimedes babbage bardeen bassi beaufort bell bernoulli boole bowditch brahe brunel cabot cauchy cerf cook copernicus cray curie darwin davis dijkstra drake edison einstein ellet engelbart euclid euler faraday fermat fermi feynman floyd franklin fulton galileo galois gauss goodall hamilton harrison hertz hooke hopper huygens hypatia jacquard kahn kepler knuth lamport laplace leibniz linnaeus lovelace magellan maxwell meitner mendel mercator mitchell morse nansen newton nobel noether norman pascal pasteur perlman planck plimsoll ptolemy raman ritchie rubin sagan scott shannon stroustrup tesla thompson torvalds turing vespucci volta watt wiles wirth wright yonath'.split(
    ' ',
  );

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * The name without a leading slash.
 * @throws {CodedError} `invalid_argument` with Docker's text.
 */
export function checkName(name: string): string {
  const plain = name.startsWith('/') ? name.slice(1) : name;
  if (NAME.test(plain) && plain.length <= 255) return plain;
  throw new CodedError(
    'invalid_argument',
    `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
  );
}

/** A name nobody has: `calm_hopper`, after a few tries with a digit. */
export function makeName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const base = `${pick(ADJECTIVES)}_${pick(SURNAMES)}`;
    const name = attempt < 5 ? base : `${base}${randomInt(10 ** Math.min(9, attempt - 4))}`;
    if (!isTaken(name)) return name;
  }
}

function pick(words: readonly string[]): string {
  return words[randomInt(words.length)] ?? '';
}
