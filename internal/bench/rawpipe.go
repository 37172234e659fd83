package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"
)

var (
	rawPipe    = pipeSystem("raw-tcp-pipe", "a TCP connection, ids, written in batches", nil)
	rawTLSPipe = pipeSystem("raw-tls-pipe", "a TLS connection, ids, written in batches", tlsPair)
)

// pipeSystem is many callers on one connection, whose server copies bytes: an upper
// bound for whatever has handlers.
func pipeSystem(name, what string, pair func() (_, _ *tls.Config)) system {
	return system{
		name: name, what: what,
		serve: func(addr string) (server, error) { return rawServe(addr, pair, echoBytes) },
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := rawDial(ctx, addr, pair)
			if err != nil {
				return nil, err
			}
			return newPipeClient(c, true), nil
		},
	}
}

// echoBytes writes back whatever it reads.
func echoBytes(c io.ReadWriter) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// A pipeCall waits for its answer. It is reused.
type pipeCall struct {
	answer []byte
	done   chan error // 1 deep: sent by readLoop, or by fail
}

// A pipeClient gives each call an id, and hands answers out by it. With batch, one
// caller writes for all that come meanwhile. It runs readLoop.
type pipeClient struct {
	c      io.ReadWriteCloser
	batch  bool
	joined chan struct{} // closed by readLoop

	mu      sync.Mutex
	calls   map[uint32]*pipeCall // guarded by mu
	nextID  uint32               // guarded by mu
	out     []byte               // guarded by mu: frames that wait to be written
	spare   []byte               // guarded by mu: the buffer that is not out
	writing bool                 // guarded by mu: somebody writes
	err     error                // guarded by mu: no call can begin

	writeMu sync.Mutex // for callers that write by themselves; guards one Write
	free    sync.Pool
}

func newPipeClient(c io.ReadWriteCloser, batch bool) *pipeClient {
	p := &pipeClient{c: c, batch: batch, joined: make(chan struct{}), calls: map[uint32]*pipeCall{}}
	p.free.New = func() any { return &pipeCall{done: make(chan error, 1)} }
	go p.readLoop()
	return p
}

// Call returns bytes that belong to the caller.
func (p *pipeClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	call := p.free.Get().(*pipeCall)
	id, err := p.begin(call)
	if err != nil {
		return nil, err
	}
	if p.batch {
		p.writeBatch(id, req)
	} else if err := p.writeAlone(id, req); err != nil {
		p.fail(err)
	}
	select {
	case err := <-call.done:
		answer := call.answer
		call.answer = nil
		p.free.Put(call)
		return answer, err
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.calls, id) // call is not reused: an answer may be on its way
		p.mu.Unlock()
		return nil, ctx.Err()
	}
}

func (p *pipeClient) begin(call *pipeCall) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	p.nextID++
	p.calls[p.nextID] = call
	return p.nextID, nil
}

// writeBatch adds a frame to those that wait, and writes them all unless somebody else
// does. It yields first, so that further callers join.
func (p *pipeClient) writeBatch(id uint32, req []byte) {
	p.mu.Lock()
	p.out = appendPipeFrame(p.out, id, req)
	if p.writing {
		p.mu.Unlock()
		return
	}
	p.writing = true
	for len(p.out) > 0 {
		if len(p.calls) > 1 {
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
		}
		buf := p.out
		p.out = p.spare[:0]
		p.mu.Unlock()
		if _, err := p.c.Write(buf); err != nil {
			p.fail(err)
		}
		p.mu.Lock()
		p.spare = buf
	}
	p.writing = false
	p.mu.Unlock()
}

func (p *pipeClient) writeAlone(id uint32, req []byte) error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	p.spare = appendPipeFrame(p.spare[:0], id, req)
	_, err := p.c.Write(p.spare)
	return err
}

// readLoop hands out answers. It ends with the connection; Close waits for it.
func (p *pipeClient) readLoop() {
	defer close(p.joined)
	in := frameReader{r: p.c}
	for {
		_, frame, err := in.next()
		if err == nil && len(frame) < 4 {
			err = fmt.Errorf("a frame of %d bytes", len(frame))
		}
		if err != nil {
			p.fail(err)
			return
		}
		id := binary.BigEndian.Uint32(frame)
		p.mu.Lock()
		call := p.calls[id]
		delete(p.calls, id)
		p.mu.Unlock()
		if call != nil {
			call.answer = append([]byte(nil), frame[4:]...)
			call.done <- nil
		}
	}
}

// fail ends all calls, and those to come.
func (p *pipeClient) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	calls := p.calls
	p.calls = map[uint32]*pipeCall{}
	p.mu.Unlock()
	for _, call := range calls {
		call.done <- err // never blocks: whoever takes a call out of the map sends once
	}
}

func (p *pipeClient) Close() error {
	err := p.c.Close()
	<-p.joined
	return err
}

// appendPipeFrame appends a frame that begins with an id.
func appendPipeFrame(dst []byte, id uint32, p []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(p)))
	dst = binary.BigEndian.AppendUint32(dst, id)
	return append(dst, p...)
}
