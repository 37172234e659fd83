package memory

import "time"

// This file has what happens to a pipe besides bytes: arrival over a line,
// aborts from either side, the end of the connection, and deadlines.

// arrive makes the next n bytes readable, and the half-close known, once the
// line has brought them.
func (p *pipe) arrive(n int, fin bool) {
	p.mu.Lock()
	p.flying.Add(-1)
	n = min(n, p.buf.len-p.avail) // fewer, if the pipe was aborted since
	announce := !p.seen
	p.seen = true
	if p.rerr != nil {
		p.discard(n)
	} else {
		p.avail += n
		p.eof = p.eof || fin
		p.readable.Broadcast()
	}
	p.freed()
	free := p.slotFree()
	p.mu.Unlock()
	if announce {
		p.circ.announce(p.to)
	}
	if free {
		p.circ.freeSlot(p.to)
	}
}

// discard drops the next n bytes, which have arrived or count as such.
func (p *pipe) discard(n int) {
	p.buf.discard(n)
	p.freed()
}

// stopRead ends the reading side from its own end. It reports whether the
// writer has to be told. What is in flight is discarded as it arrives.
func (p *pipe) stopRead(err error) (tell bool) {
	p.mu.Lock()
	tell = p.rerr == nil && !p.eof
	p.rerr = err
	p.discard(p.avail)
	p.avail = 0
	p.rdl.stop()
	p.readable.Broadcast()
	free := p.slotFree()
	p.mu.Unlock()
	if free {
		p.circ.freeSlot(p.to)
	}
	return tell
}

// stopWrite ends the writing side from its own end. It reports whether the
// reader has to be told: not if what was written is whole and stays so.
func (p *pipe) stopWrite(err error, keepWhole bool) (tell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wdl.stop()
	if p.fin && keepWhole {
		return false
	}
	tell = p.werr == nil
	p.werr, p.stopped = err, false
	p.line.drop(p)
	p.writable.Broadcast()
	return tell
}

// abortRead is how the reader's side learns that the writer has aborted. It
// reports whether the stream is news there.
func (p *pipe) abortRead(err error) (announce bool) {
	p.mu.Lock()
	announce, p.seen = !p.seen, true
	if p.rerr == nil && !p.eofRead {
		p.rerr = err
	}
	p.discard(p.buf.len)
	p.avail = 0
	p.readable.Broadcast()
	free := p.slotFree()
	p.mu.Unlock()
	if free {
		p.circ.freeSlot(p.to)
	}
	return announce
}

// abortWrite is how the writer's side learns that the reader has stopped. It
// is no matter to a writer who is done.
func (p *pipe) abortWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.werr == nil && !p.fin {
		p.werr, p.stopped = err, true
		p.line.drop(p)
		p.writable.Broadcast()
	}
}

// endRead and endWrite end one side together with its end of the connection.
func (p *pipe) endRead(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rerr = err
	p.rdl.stop()
	p.discard(p.avail)
	p.avail = 0
	p.readable.Broadcast()
}

func (p *pipe) endWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.werr, p.stopped = err, false
	p.wdl.stop()
	p.line.drop(p)
	p.writable.Broadcast()
}

func (p *pipe) setReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rerr == nil {
		p.rdl.set(t, &p.readable)
	}
	return p.rerr
}

func (p *pipe) setWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.werr == nil && !p.fin {
		p.wdl.set(t, &p.writable)
	}
	return p.werr
}

// takeSlotBack reports whether the stream's slot is free now that its
// accepting side is done; if not, it comes free when the opener has taken what
// it was sent. The pipe is the one towards the opener.
func (p *pipe) takeSlotBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdSlot = true
	return p.slotFree()
}
