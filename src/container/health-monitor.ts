import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { formatDuration } from '#dockerfile/instruction/index.ts';
import { type Context, changeState, isRunning, publish } from './context.ts';
import type { Execs } from './exec.ts';
import {
  freshHealth,
  HEALTH_OUTPUT_BYTES,
  type HealthPlan,
  judgeProbe,
  nextProbeMs,
  planHealth,
} from './health.ts';
import type { ContainerRecord, ExecRequest, HealthResult } from './types.ts';

/** How long who halts a monitor waits for its probe to be gone. */
const HALT_MS = 3000;

interface Monitor {
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * Runs the health checks of running containers, one at a time for each, as execs. A status that changes is durable; streak
 * and log live in memory until something else is written.
 */
export class HealthMonitors {
  readonly #context: Context;
  readonly #execs: Execs;
  readonly #running = new Map<string, Monitor>();

  constructor(context: Context, execs: Execs) {
    this.#context = context;
    this.#execs = execs;
  }

  /** Begins to check a container that runs; does nothing for one without a health check, or one that is checked already. */
  watch(record: ContainerRecord): void {
    const plan = planHealth(record.config);
    if (plan === undefined || record.state.status !== 'running' || this.#running.has(record.id)) return;
    const stop = new AbortController();
    const done = this.#monitor(record.id, plan, stop.signal).catch((error) => {
      this.#context.log.error('health checks of a container have ended', { container: record.id, error });
    });
    this.#running.set(record.id, { stop, done });
  }

  /** Ends the checks of a container; a probe that runs is killed, and gone when this resolves. */
  async halt(id: string): Promise<void> {
    const monitor = this.#running.get(id);
    if (monitor === undefined) return;
    this.#running.delete(id);
    monitor.stop.abort();
    await Promise.race([monitor.done, delay(HALT_MS, undefined, { ref: false })]);
  }

  /** Ends all checks. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.halt(id)));
  }

  async #monitor(id: string, plan: HealthPlan, signal: AbortSignal): Promise<void> {
    for (;;) {
      const { state, config } = this.#context.records.get(id);
      const status = (state.health ?? freshHealth(config))?.status ?? 'starting';
      const wait = nextProbeMs(status, plan, Date.now() - state.startedAt);
      await delay(wait, undefined, { signal, ref: false }).catch(() => {});
      const record = this.#context.records.byId(id);
      if (signal.aborted || record === undefined) return;
      const result = await this.#probe(record, plan, signal);
      if (signal.aborted || result === undefined) return;
      this.#note(id, plan, result);
    }
  }

  /** `undefined`: its container has ended. */
  async #probe(
    record: ContainerRecord,
    plan: HealthPlan,
    signal: AbortSignal,
  ): Promise<HealthResult | undefined> {
    const start = Date.now();
    const finished = (exitCode: number, output: string): HealthResult => ({
      start,
      end: Date.now(),
      exitCode,
      output,
    });
    try {
      const { exitCode, output, timedOut } = await this.#execs.run(record, probeRequest(plan, record), {
        timeoutMs: plan.timeoutMs,
        outputBytes: HEALTH_OUTPUT_BYTES,
        signal,
      });
      if (timedOut) {
        const text = `Health check exceeded timeout (${formatDuration(plan.timeoutMs * 1e6)})`;
        return finished(-1, output === '' ? text : `${text}: ${output}`);
      }
      return exitCode === undefined ? undefined : finished(exitCode, output);
    } catch (error) {
      const now = this.#context.records.byId(record.id);
      if (now === undefined || !isRunning(now)) return undefined;
      if (!(error instanceof CodedError)) throw error;
      return finished(-1, messageOf(error));
    }
  }

  #note(id: string, plan: HealthPlan, result: HealthResult): void {
    const record = this.#context.records.byId(id);
    if (record === undefined || record.state.status !== 'running') return;
    const before = record.state.health ?? freshHealth(record.config);
    if (before === undefined) return;
    const health = judgeProbe(before, result, { plan, startedAt: record.state.startedAt });
    const isNews = health.status !== before.status;
    const changed = changeState(this.#context, id, { health }, { durable: isNews });
    if (isNews) publish(this.#context, changed, `health_status: ${health.status}`);
  }
}

function probeRequest(plan: HealthPlan, { config }: ContainerRecord): ExecRequest {
  return {
    cmd: plan.command,
    env: [],
    user: config.User ?? '',
    workingDir: config.WorkingDir ?? '',
    privileged: false,
    tty: false,
    attachStdin: false,
    attachStdout: true,
    attachStderr: true,
    detachKeys: '',
  };
}
