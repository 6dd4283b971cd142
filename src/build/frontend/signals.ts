/** STOPSIGNAL: names and numbers Docker knows. */
import { CodedError } from '#base/errors/index.ts';

const NAMES = new Set(
  `ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP
   TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX`.split(/\s+/),
);

/** @throws {CodedError} `invalid_argument`: `invalid signal: …`. */
export function checkSignal(signal: string): void {
  if (/^[+-]?\d+$/.test(signal) && Number(signal) !== 0) return;
  const name = signal.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RTM(?:IN\+([1-9]|1[0-5])|AX-([1-9]|1[0-4]))$/.test(name);
  if (!NAMES.has(name) && !realTime) throw new CodedError('invalid_argument', `invalid signal: ${signal}`);
}
