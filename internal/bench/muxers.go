package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

// Multiplexers on a TCP connection, a stream per call: a frame there, one back, with the
// flags of the bare connections.
var (
	yamuxSys = muxSystem("yamux", "hashicorp/yamux, a stream per call", "github.com/hashicorp/yamux", yamuxSession)
	smuxSys  = muxSystem("smux", "xtaci/smux version 2, a stream per call", "github.com/xtaci/smux", smuxSession)
)

// A muxSession is the same few methods under the names of two libraries.
type muxSession struct {
	open   func(context.Context) (muxStream, error)
	accept func() (muxStream, error)
	close  func() error
}

// A muxStream is what both libraries' streams are.
type muxStream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

func yamuxSession(c io.ReadWriteCloser, dialed bool) (*muxSession, error) {
	cfg := yamux.DefaultConfig()
	cfg.AcceptBacklog = 8192 // as many callers as there may be
	cfg.LogOutput = io.Discard
	newSession := yamux.Server
	if dialed {
		newSession = yamux.Client
	}
	s, err := newSession(c, cfg)
	if err != nil {
		return nil, err
	}
	return &muxSession{
		open:   func(context.Context) (muxStream, error) { return muxStreamOf(s.OpenStream()) },
		accept: func() (muxStream, error) { return muxStreamOf(s.AcceptStream()) },
		close:  s.Close,
	}, nil
}

func smuxSession(c io.ReadWriteCloser, dialed bool) (*muxSession, error) {
	cfg := smux.DefaultConfig()
	cfg.Version = 2 // with flow control per stream, as the others have
	newSession := smux.Server
	if dialed {
		newSession = smux.Client
	}
	s, err := newSession(c, cfg)
	if err != nil {
		return nil, err
	}
	return &muxSession{
		open:   func(context.Context) (muxStream, error) { return muxStreamOf(s.OpenStream()) },
		accept: func() (muxStream, error) { return muxStreamOf(s.AcceptStream()) },
		close:  s.Close,
	}, nil
}

// muxStreamOf keeps a nil pointer from becoming an interface that is not nil.
func muxStreamOf[S muxStream](s S, err error) (muxStream, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func muxSystem(name, what, path string, session func(io.ReadWriteCloser, bool) (*muxSession, error)) system {
	return system{
		name: name, what: what, path: path,
		serve: func(addr string) (server, error) {
			return rawServe(addr, nil, func(c io.ReadWriter) error {
				m, err := session(c.(net.Conn), false)
				if err != nil {
					return err
				}
				return m.serve()
			})
		},
		dial: func(ctx context.Context, addr string) (client, error) {
			c, err := rawDial(ctx, addr, nil)
			if err != nil {
				return nil, err
			}
			m, err := session(c, true)
			if err != nil {
				_ = c.Close() // the session's error is the one to tell
				return nil, err
			}
			return &muxClient{m}, nil
		},
	}
}

// serve ends with the connection, and waits for the streams' handlers.
func (m *muxSession) serve() error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = m.close() }() // ends the handlers; the connection is gone
	for {
		s, err := m.accept()
		if err != nil {
			return err
		}
		wg.Go(func() { muxHandler(s) })
	}
}

// muxHandler ends with its stream; serve waits for it.
func muxHandler(s muxStream) {
	_ = serveMuxStream(s) // the client sees that its stream is gone
	_ = s.Close()
}

// serveMuxStream echoes the stream's one frame, or drops frames until one wants an answer.
func serveMuxStream(s muxStream) error {
	for {
		flags, n, err := readMuxHead(s)
		if err != nil {
			return err
		}
		if flags&frameSink == 0 {
			p := make([]byte, 4+n)
			binary.BigEndian.PutUint32(p, uint32(n))
			if _, err := io.ReadFull(s, p[4:]); err != nil {
				return err
			}
			_, err := s.Write(p)
			return err
		}
		if flags&frameReport != 0 {
			_, err := s.Write(appendFrame(nil, 0, nil))
			return err
		}
		if err := dropMuxFrames(s, n); err != nil {
			return err
		}
	}
}

// dropMuxFrames takes n bytes, without io.Copy's 8 KiB at a time.
func dropMuxFrames(s muxStream, n int) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(s, int64(n)), make([]byte, min(n+1, 64<<10)))
	return err
}

func readMuxHead(s muxStream) (flags uint32, n int, err error) {
	var b [4]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return 0, 0, err
	}
	flags = binary.BigEndian.Uint32(b[:])
	if n = int(flags & frameLength); n > maxPayload {
		return 0, 0, fmt.Errorf("a frame of %d bytes", n)
	}
	return flags, n, nil
}

// A muxClient opens a stream for each call.
type muxClient struct{ m *muxSession }

// stream opens a stream that ctx ends, by its deadlines: no library's streams know contexts.
func (c *muxClient) stream(ctx context.Context) (muxStream, func(), error) {
	s, err := c.m.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	return s, func() {
		stop()
		_ = s.Close() // the answer is there, or there was an error
	}, nil
}

func (c *muxClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	s, done, err := c.stream(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := s.Write(appendFrame(make([]byte, 0, 4+len(req)), 0, req)); err != nil {
		return nil, err
	}
	_, n, err := readMuxHead(s)
	if err != nil {
		return nil, err
	}
	p := make([]byte, n)
	_, err = io.ReadFull(s, p)
	return p, err
}

func (c *muxClient) Send(ctx context.Context, msg []byte, n int) error {
	s, done, err := c.stream(ctx)
	if err != nil {
		return err
	}
	defer done()
	frame := appendFrame(nil, frameSink, msg)
	for range n {
		if _, err := s.Write(frame); err != nil {
			return err
		}
	}
	if _, err := s.Write(appendFrame(nil, frameSink|frameReport, nil)); err != nil {
		return err
	}
	_, _, err = readMuxHead(s)
	return err
}

func (c *muxClient) Close() error { return c.m.close() }
