import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  addressOfReverse,
  CODE,
  codeOfAnswer,
  encodeAnswer,
  encodeFailure,
  isAnswerTo,
  isQuery,
  parseQuery,
  type Query,
  TYPE,
  withId,
} from './message.ts';
import { makeQuery } from './testing.ts';

function parsed(packet: Buffer): Query {
  const query = parseQuery(packet);
  assert.ok(isQuery(query));
  return query;
}

describe('parseQuery', () => {
  it('reads name, type and what the client takes', () => {
    const query = parsed(makeQuery('Web.Example', TYPE.a));
    assert.deepEqual(
      [query.id, query.name, query.type, query.isInternet, query.recursionDesired, query.udpBytes],
      [0xabcd, 'Web.Example', 1, true, true, 512],
    );
    assert.equal(parsed(makeQuery('x', TYPE.a, { udpBytes: 1232 })).udpBytes, 1232);
    assert.equal(parsed(makeQuery('x', TYPE.a, { udpBytes: 65_000 })).udpBytes, 4096, 'no more than is safe');
    assert.equal(
      parsed(makeQuery('x', TYPE.a, { udpBytes: 10 })).udpBytes,
      512,
      'no less than RFC 1035 says',
    );
  });

  const good = makeQuery('web', TYPE.a);
  const change = (at: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(good);
    copy.set(bytes, at);
    return copy;
  };
  const bad: readonly [string, Buffer, number | undefined][] = [
    ['nothing', Buffer.alloc(0), undefined],
    ['half a header', good.subarray(0, 11), undefined],
    ['an answer', change(2, 0x81), undefined],
    ['an update', change(2, 0x28), CODE.notImplemented],
    ['no question', change(4, 0, 0), CODE.badFormat],
    ['two questions', change(4, 0, 2), CODE.badFormat],
    ['an answer section', change(6, 0, 1), CODE.badFormat],
    ['a question cut short', good.subarray(0, -1), CODE.badFormat],
    ['a name without an end', good.subarray(0, 15), CODE.badFormat],
    ['a pointer to itself', change(12, 0xc0, 12), CODE.badFormat],
    ['a label with a dot', change(13, 0x2e), CODE.badFormat],
    ['a label of 64', Buffer.concat([good.subarray(0, 12), Buffer.alloc(80, 64)]), CODE.badFormat],
    ['a name of 256', makeQuery(Array(128).fill('a').join('.'), TYPE.a), CODE.badFormat],
  ];
  for (const [what, packet, code] of bad) {
    it(`answers ${what} with ${code ?? 'nothing'}`, () => {
      const query = parseQuery(packet);
      assert.ok(!isQuery(query));
      assert.equal(query.code, code);
    });
  }

  it('takes the longest name there may be', () => {
    assert.equal(parsed(makeQuery(Array(127).fill('a').join('.'), TYPE.a)).name.length, 253);
  });

  it('survives any bytes', () => {
    // A small generator with a fixed seed: what fails once fails always.
    let seed = 42;
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * limit);
    };
    let parsedOnes = 0;
    for (let round = 0; round < 60_000; round++) {
      const base =
        round % 3 === 0 ? makeQuery('a.b', TYPE.ptr, { udpBytes: random(65_536) }) : Buffer.from(good);
      const packet = round % 5 === 0 ? Buffer.alloc(random(64)) : base.subarray(0, 1 + random(base.length));
      for (let i = random(6); i > 0 && packet.length > 0; i--) packet[random(packet.length)] = random(256);
      const query = parseQuery(packet);
      if (isQuery(query)) {
        parsedOnes++;
        const answer = encodeAnswer(query, { type: TYPE.a, addresses: ['1.2.3.4'] }, { overTcp: false });
        assert.ok(answer.length <= query.udpBytes && isAnswerTo(answer, query, query.id));
      } else if (query.code !== undefined)
        assert.equal(codeOfAnswer(encodeFailure(query, query.code)), query.code);
    }
    assert.ok(parsedOnes > 1000, 'the bytes were not all refused at the door');
  });
});

describe('answers', () => {
  it('have the bytes of RFC 1035', () => {
    const answer = encodeAnswer(
      parsed(makeQuery('db', TYPE.a)),
      { type: TYPE.a, addresses: ['10.0.0.7'] },
      { overTcp: false },
    );
    assert.equal(
      answer.toString('hex'),
      'abcd81800001000100000000' +
        '02646200' +
        '00010001' +
        'c00c00010001' +
        '00000258' +
        '0004' +
        '0a000007',
    );
  });

  it('say with no records that a name has nothing of the type', () => {
    const answer = encodeAnswer(parsed(makeQuery('db', TYPE.aaaa)), undefined, { overTcp: false });
    assert.deepEqual([answer.readUInt16BE(6), codeOfAnswer(answer)], [0, 0]);
  });

  it('are cut to what the client takes, and say so, but not over TCP', () => {
    const addresses = Array.from({ length: 100 }, (_, i) => `10.0.0.${i}`);
    const query = parsed(makeQuery('many', TYPE.a));
    const cut = encodeAnswer(query, { type: TYPE.a, addresses }, { overTcp: false });
    assert.ok(cut.length <= 512 && cut.length > 490);
    assert.equal(cut.readUInt16BE(2) & 0x0200, 0x0200);
    const whole = encodeAnswer(query, { type: TYPE.a, addresses }, { overTcp: true });
    assert.deepEqual([whole.readUInt16BE(6), whole.readUInt16BE(2) & 0x0200], [100, 0]);
    const wide = encodeAnswer(
      parsed(makeQuery('many', TYPE.a, { udpBytes: 4096 })),
      { type: TYPE.a, addresses },
      { overTcp: false },
    );
    assert.deepEqual([wide.readUInt16BE(6), wide.readUInt16BE(10)], [100, 1], 'EDNS is answered by EDNS');
  });

  it('name who has an address', () => {
    const query = parsed(makeQuery('7.0.0.10.in-addr.arpa', TYPE.ptr));
    const answer = encodeAnswer(query, { type: TYPE.ptr, name: 'db.net' }, { overTcp: false });
    assert.ok(answer.includes(Buffer.from('\x02db\x03net\0', 'latin1')));
  });

  it('are recognised by id and question, in any letter case', () => {
    const query = parsed(makeQuery('db', TYPE.a));
    const other = parsed(makeQuery('dc', TYPE.a));
    const answer = encodeAnswer(parsed(makeQuery('DB', TYPE.a)), undefined, { overTcp: false });
    assert.equal(isAnswerTo(withId(answer, 5), query, 5), true);
    assert.equal(isAnswerTo(withId(answer, 5), query, 6), false, 'another id');
    assert.equal(isAnswerTo(withId(answer, 5), other, 5), false, 'another question');
    assert.equal(isAnswerTo(makeQuery('db', TYPE.a), query, 0xabcd), false, 'a query');
    assert.equal(isAnswerTo(Buffer.alloc(3), query, 0), false, 'too short');
  });
});

describe('addressOfReverse', () => {
  it('turns the name around', () => {
    assert.equal(addressOfReverse('4.3.2.1.in-addr.arpa'), '1.2.3.4');
    assert.equal(addressOfReverse('4.3.2.1.IN-ADDR.ARPA'), '1.2.3.4');
    for (const name of ['3.2.1.in-addr.arpa', '4.3.2.1', 'x.3.2.1.in-addr.arpa', '4.3.2.1.in-addr.arpa.x'])
      assert.equal(addressOfReverse(name), undefined, name);
  });
});
