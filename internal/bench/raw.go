package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The bare connections: frames of a length and a payload, echoed by one goroutine per
// connection. They are what Go's own networking costs, without ids, contexts, handlers
// or limits, and so a bound for everything else.
var (
	rawTCP = rawSystem("raw-tcp", "a TCP connection, ping-pong", 1, nil)
	rawTLS = rawSystem("raw-tls", "a TLS connection, ping-pong", 1, tlsPair)
)

// Flags in a frame's length.
const (
	frameSink   = 1 << 31 // not to be echoed
	frameReport = 1 << 30 // answer with an empty frame
	frameLength = 1<<24 - 1
)

// rawSystem is a connection that is echoed frame by frame, plain if pair is nil.
func rawSystem(name, what string, callers int, pair func() (_, _ *tls.Config)) system {
	return system{
		name: name, what: what, callers: callers,
		serve: func(addr string) (server, error) { return rawServe(addr, pair, echoFrames) },
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := rawDial(ctx, addr, pair)
			if err != nil {
				return nil, err
			}
			return newRawClient(c, c.Close), nil
		},
	}
}

// rawDial connects, and makes the handshake if there is one.
func rawDial(ctx context.Context, addr string, pair func() (_, _ *tls.Config)) (net.Conn, error) {
	if pair == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	_, cfg := pair()
	d := tls.Dialer{Config: cfg}
	return d.DialContext(ctx, "tcp", addr)
}

// A rawServer runs acceptLoop, and connHandler for each connection.
type rawServer struct {
	l     net.Listener
	serve func(io.ReadWriter) error
	wg    sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

func rawServe(addr string, pair func() (_, _ *tls.Config), serve func(io.ReadWriter) error) (server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if pair != nil {
		cfg, _ := pair()
		l = tls.NewListener(l, cfg)
	}
	s := &rawServer{l: l, serve: serve, conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.acceptLoop)
	return s, nil
}

// acceptLoop ends with the listener; Close waits for it.
func (s *rawServer) acceptLoop() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		if !s.add(c) {
			_ = c.Close() // it came too late
			return
		}
		s.wg.Go(func() { s.connHandler(c) })
	}
}

// connHandler ends with the connection, which Close closes; Close waits for it.
func (s *rawServer) connHandler(c net.Conn) {
	_ = s.serve(c) // the client sees that its connection is gone
	_ = c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *rawServer) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *rawServer) Addr() string { return s.l.Addr().String() }

func (s *rawServer) Close() error {
	err := s.l.Close()
	s.mu.Lock()
	s.closed = true
	var conns []net.Conn
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // unblocks connHandler
	}
	s.wg.Wait()
	return err
}

// A rawClient is the calling end of echoFrames. One goroutine may use it.
type rawClient struct {
	c     io.ReadWriter
	close func() error
	in    frameReader
	out   []byte
}

func newRawClient(c io.ReadWriter, closeConn func() error) *rawClient {
	return &rawClient{c: c, close: closeConn, in: frameReader{r: c}}
}

func (c *rawClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.out = appendFrame(c.out[:0], 0, req)
	if _, err := c.c.Write(c.out); err != nil {
		return nil, err
	}
	_, p, err := c.in.next()
	return p, err
}

func (c *rawClient) Send(ctx context.Context, msg []byte, n int) error {
	frame := appendFrame(nil, frameSink, msg)
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := c.c.Write(frame); err != nil {
			return err
		}
	}
	if _, err := c.c.Write(appendFrame(nil, frameSink|frameReport, nil)); err != nil {
		return err
	}
	_, _, err := c.in.next()
	return err
}

func (c *rawClient) Close() error { return c.close() }

// echoFrames writes back each frame that it reads, until reading or writing fails.
func echoFrames(c io.ReadWriter) error {
	in := frameReader{r: c}
	var out []byte
	for {
		flags, p, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case flags&frameSink == 0:
			out = appendFrame(out[:0], 0, p)
		case flags&frameReport != 0:
			out = appendFrame(out[:0], 0, nil)
		default:
			continue
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

func appendFrame(dst []byte, flags uint32, p []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, flags|uint32(len(p)))
	return append(dst, p...)
}

// A frameReader takes frames from r. Its buffer starts small and grows to what frames
// need, so that an idle connection is as cheap as can be.
type frameReader struct {
	r   io.Reader
	buf []byte
	at  int // of the first byte that was not used, in buf
}

// next returns a frame's flags and payload, which is valid until the call after. The
// payload of a sink frame is dropped as it is read, and nil.
func (f *frameReader) next() (uint32, []byte, error) {
	if err := f.fill(4); err != nil {
		return 0, nil, err
	}
	head := binary.BigEndian.Uint32(f.buf[f.at:])
	f.at += 4
	n := int(head & frameLength)
	if n > maxPayload {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	if head&frameSink != 0 {
		return head, nil, f.discard(n)
	}
	if err := f.fill(n); err != nil {
		return 0, nil, err
	}
	p := f.buf[f.at : f.at+n]
	f.at += n
	return head, p, nil
}

// fill sees to it that n bytes are in the buffer.
func (f *frameReader) fill(n int) error {
	if len(f.buf)-f.at >= n {
		return nil
	}
	f.makeRoom(n)
	for len(f.buf)-f.at < n {
		m, err := f.r.Read(f.buf[len(f.buf):cap(f.buf)])
		f.buf = f.buf[:len(f.buf)+m]
		if m == 0 && err != nil {
			return err
		}
	}
	return nil
}

// makeRoom moves what is left to the front, in a larger buffer if n does not fit.
func (f *frameReader) makeRoom(n int) {
	rest := f.buf[f.at:]
	if n+4 > cap(f.buf) {
		f.buf = make([]byte, 0, max(4<<10, n+n/8+4))
	}
	f.buf = append(f.buf[:0], rest...)
	f.at = 0
}

// discard drops n bytes, reading up to 64 KiB at a time.
func (f *frameReader) discard(n int) error {
	have := min(n, len(f.buf)-f.at)
	f.at += have
	for n -= have; n > 0; {
		if f.at == len(f.buf) {
			f.at, f.buf = 0, f.buf[:0]
		}
		if cap(f.buf) < 64<<10 {
			f.buf = make([]byte, 0, 64<<10)
		}
		m, err := f.r.Read(f.buf[:cap(f.buf)])
		if m == 0 && err != nil {
			return err
		}
		f.buf = f.buf[:m]
		f.at = min(n, m)
		n -= f.at
	}
	return nil
}

// maxPayload bounds the frames and messages that our own servers take.
const maxPayload = 8 << 20
