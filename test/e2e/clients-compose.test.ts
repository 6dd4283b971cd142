/** docker compose (the plugin, or docker-compose) as the judge of the engine: a project of two services, up and down. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const COMPOSE = [['docker', 'compose'], ['docker-compose']].find(
  ([program = '', ...args]) => spawnSync(program, [...args, 'version']).status === 0,
);
const skip =
  NEEDS_DOCKER_CLI || NEEDS_BUSYBOX || (COMPOSE === undefined ? 'docker compose is not installed' : false);

const SHOP = `
services:
  db:
    image: box:1
    command: ["sh", "-c", "echo db up; echo kept >> /var/data/log; touch /ready; exec sleep 99"]
    volumes: ["data:/var/data"]
    networks: [back]
    stop_grace_period: 0s
    healthcheck: {test: ["CMD", "test", "-e", "/ready"], interval: 1s, timeout: 1s, retries: 9}
  web:
    build: {context: ./web, args: {WORD: built}}
    depends_on: {db: {condition: service_healthy}}
    environment: {GREETING: hi}
    ports: ["127.0.0.1::80"]
    networks: {back: {aliases: [www]}, front: {}}
    volumes: ["./web:/src:ro", "/own"]
    tmpfs: [/scratch]
    restart: unless-stopped
    mem_limit: 64m
    init: false
    stop_grace_period: 0s
volumes: {data: {labels: {keep: "1"}}}
networks: {back: {internal: true}, front: {}}
`;

const ODD = `
x-box: &box {image: "box:1", stop_grace_period: 0s, logging: {driver: json-file, options: {max-size: 1m}}}
services:
  base:
    <<: *box
    command: sleep 99
    hostname: base-host
    ipc: shareable
    extra_hosts: ["some:1.2.3.4"]
    ulimits: {nofile: {soft: 99, hard: 100}}
    cap_add: [NET_ADMIN]
    read_only: true
    volumes: [{type: volume, source: named, target: /named, read_only: true}]
  side: {<<: *box, command: sleep 98, network_mode: "service:base", pid: "service:base", ipc: "service:base", depends_on: [base]}
  host: {<<: *box, command: sleep 97, network_mode: host, pid: host}
  terminal: {<<: *box, command: sleep 96, network_mode: none, tty: true, stdin_open: true}
  done: {<<: *box, command: "true"}
  after: {<<: *box, command: sleep 95, depends_on: {done: {condition: service_completed_successfully}}, volumes_from: ["base:ro"]}
  many: {<<: *box, command: 'sh -c "echo many; sleep 94"'}
volumes: {named: {}}
`;

class Project {
  readonly #daemon: TestDaemon;
  readonly dir: string;

  constructor(daemon: TestDaemon, name: string, file: string) {
    this.#daemon = daemon;
    this.dir = join(daemon.dir, name);
    mkdirSync(this.dir);
    writeFileSync(join(this.dir, 'docker-compose.yml'), file);
  }

  run(...args: string[]): string {
    const [program = '', ...first] = COMPOSE ?? [];
    const { status, stdout, stderr } = spawnSync(program, [...first, ...args], {
      cwd: this.dir,
      encoding: 'utf8',
      input: '',
      timeout: 50_000,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: process.env['HOME'] ?? '',
        DOCKER_HOST: this.#daemon.host,
        DOCKER_BUILDKIT: '0',
        COMPOSE_DOCKER_CLI_BUILD: '0',
        // docker-compose 1.29 reads a field that newer versions of the API have no more, here and in Docker.
        COMPOSE_API_VERSION: '1.44',
      },
    });
    assert.equal(status, 0, `compose ${args.join(' ')}\n${stdout}${stderr}`);
    return stdout;
  }
}

function withBox(body: (daemon: TestDaemon) => void): Promise<void> {
  return withDaemon(async (daemon) => {
    daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    body(daemon);
  });
}

test('compose builds, starts in order, looks into, changes and removes a project', { skip }, () =>
  withBox((daemon) => {
    const shop = new Project(daemon, 'shop', SHOP);
    mkdirSync(join(shop.dir, 'web'));
    writeFileSync(
      join(shop.dir, 'web/Dockerfile'),
      'FROM box:1\nARG WORD\nRUN echo $WORD > /word\nCOPY page /page\nCMD ["sh", "-c", "echo web $GREETING; exec sleep 99"]\n',
    );
    writeFileSync(join(shop.dir, 'web/page'), 'page\n');
    shop.run('build');
    shop.run('up', '-d');
    assert.equal(shop.run('ps', '-q').trim().split('\n').length, 2);
    const logs = shop.run('logs', '--no-color');
    assert.match(logs, /\| db up$/m);
    assert.match(logs, /\| web hi$/m);
    assert.equal(shop.run('exec', '-T', 'web', 'cat', '/word', '/page', '/src/page'), 'built\npage\npage\n');
    assert.match(shop.run('port', 'web', '80'), /^127\.0\.0\.1:\d+\n$/);
    assert.match(shop.run('top'), /sleep 99/);
    assert.match(shop.run('run', '--rm', '-T', '--no-deps', 'web', 'echo', 'ran'), /^ran$/m);
    shop.run('pause', 'db');
    shop.run('unpause', 'db');
    shop.run('restart', '-t', '0', 'web');
    shop.run('kill', 'web');
    shop.run('start', 'web');
    const [before] = shop.run('ps', '-q', 'web').split('\n');
    shop.run('up', '-d', '--force-recreate', '--no-deps', '-t', '0', 'web');
    assert.notEqual(shop.run('ps', '-q', 'web').split('\n')[0], before);
    shop.run('up', '-d', '--build');
    shop.run('stop', '-t', '0');
    shop.run('up', '-d');
    assert.equal(shop.run('exec', '-T', 'db', 'cat', '/var/data/log'), 'kept\nkept\n', 'the volume stays');
    shop.run('down', '-v', '--rmi', 'local', '-t', '0');
    assert.equal(daemon.dockerOk(['ps', '-aq']), '');
    assert.equal(daemon.dockerOk(['volume', 'ls', '-q', '-f', 'name=data']), '');
    assert.equal(daemon.dockerOk(['network', 'ls', '-q', '-f', 'type=custom']), '');
    assert.equal(daemon.dockerOk(['images', '-q', '-f', 'reference=shop*']), '');
  }),
);

test('compose starts services that share namespaces, wait for each other, and are many', { skip }, () =>
  withBox((daemon) => {
    const odd = new Project(daemon, 'odd', ODD);
    odd.run('up', '-d', '--scale', 'many=3');
    const states = odd.run('ps', '-a').trim().split('\n').slice(1);
    assert.equal(states.filter((line) => /\bUp\b/.test(line)).length, 8, states.join('\n'));
    assert.equal(odd.run('exec', '-T', 'base', 'hostname'), 'base-host\n');
    assert.match(odd.run('exec', '-T', 'side', 'cat', '/etc/hosts'), /^1\.2\.3\.4\tsome$/m);
    const processes = odd.run('exec', '-T', 'side', 'ps');
    assert.match(processes, /sleep 99/, 'the processes of the service whose namespace it has');
    assert.match(processes, /sleep 98/);
    assert.equal(odd.run('logs', '--no-color', 'many').match(/\| many$/gm)?.length, 3);
    odd.run('up', '-d', '--scale', 'many=1', '-t', '0');
    odd.run('down', '-v', '-t', '0');
    assert.equal(daemon.dockerOk(['ps', '-aq']), '');
  }),
);
