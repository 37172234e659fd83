package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const quicPath = "github.com/quic-go/quic-go"

// The bare QUIC connections. raw-quic-long is a ping-pong; raw-quic-pipe is the same
// stream with many callers, each of which writes by itself.
var (
	rawQUICStream = system{
		name: "raw-quic-stream", what: "quic-go, a stream per call", path: quicPath,
		serve: func(addr string) (server, error) { return quicServe(addr, serveQUICCall) },
		dial: func(ctx context.Context, addr string) (client, error) {
			q, err := quicDial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return &quicStreams{q}, nil
		},
	}
	rawQUICLong = system{
		name: "raw-quic-long", what: "quic-go, one long stream, ping-pong", path: quicPath, callers: 1,
		serve: func(addr string) (server, error) { return quicServe(addr, serveQUICFrames) },
		dial: func(ctx context.Context, addr string) (client, error) {
			q, s, err := quicDialStream(ctx, addr)
			if err != nil {
				return nil, err
			}
			return newRawClient(s, q.Close), nil
		},
	}
	rawQUICPipe = system{
		name: "raw-quic-pipe", what: "quic-go, one long stream, ids, a write per call", path: quicPath,
		serve: func(addr string) (server, error) { return quicServe(addr, serveQUICFrames) },
		dial: func(ctx context.Context, addr string) (client, error) {
			q, s, err := quicDialStream(ctx, addr)
			if err != nil {
				return nil, err
			}
			return newPipeClient(&quicPipe{s, q}, false), nil
		},
	}
)

// quicConfig leaves the flow control windows at quic-go's defaults, which begin at
// 512 KiB and grow to 6 MiB a stream: twice and more of what kith asks for.
func quicConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout:     90 * time.Second,
		MaxIncomingStreams: 8192, // as many callers as there may be
	}
}

func quicTLS() (server, client *tls.Config) {
	server, client = tlsPair()
	server.NextProtos, client.NextProtos = []string{"bench"}, []string{"bench"}
	return server, client
}

// A quicServer runs acceptLoop, connHandler for each connection, and streamHandler for
// each stream.
type quicServer struct {
	t     *quic.Transport
	l     *quic.Listener
	serve func(*quic.Stream)
	wg    sync.WaitGroup
}

func quicServe(addr string, serve func(*quic.Stream)) (server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	s := &quicServer{t: &quic.Transport{Conn: pc}, serve: serve}
	cfg, _ := quicTLS()
	if s.l, err = s.t.Listen(cfg, quicConfig()); err != nil {
		_ = pc.Close() // the listen's error is the one to tell
		return nil, err
	}
	s.wg.Go(s.acceptLoop)
	return s, nil
}

// acceptLoop ends with the listener; Close waits for it.
func (s *quicServer) acceptLoop() {
	for {
		c, err := s.l.Accept(context.Background())
		if err != nil {
			return
		}
		s.wg.Go(func() { s.connHandler(c) })
	}
}

// connHandler ends with the connection; Close waits for it.
func (s *quicServer) connHandler(c *quic.Conn) {
	for {
		st, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		s.wg.Go(func() { s.streamHandler(st) })
	}
}

// streamHandler ends with the stream; Close waits for it.
func (s *quicServer) streamHandler(st *quic.Stream) { s.serve(st) }

func (s *quicServer) Addr() string { return s.t.Conn.LocalAddr().String() }

// Close closes the transport, which ends connections; closing the listener alone would not.
func (s *quicServer) Close() error {
	err := s.t.Close()
	_ = s.t.Conn.Close() // the transport does not close a socket that it did not make
	s.wg.Wait()
	return err
}

// serveQUICFrames echoes frames.
func serveQUICFrames(st *quic.Stream) {
	_ = echoFrames(st) // the client sees that its stream is gone
	st.CancelRead(0)
	_ = st.Close()
}

// The first byte of a stream per call says what is wanted.
const (
	quicEcho = 'e'
	quicSink = 's'
)

// serveQUICCall echoes a stream, or drops it and says so.
func serveQUICCall(st *quic.Stream) {
	defer func() { st.CancelRead(0) }()
	var kind [1]byte
	if _, err := io.ReadFull(st, kind[:]); err != nil {
		return
	}
	answer := []byte{0}
	var err error
	if kind[0] == quicEcho {
		answer, err = io.ReadAll(io.LimitReader(st, maxPayload))
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, st, make([]byte, 64<<10))
	}
	if err != nil {
		st.CancelWrite(1)
		return
	}
	_, _ = st.Write(answer) // the client sees what became of it
	_ = st.Close()
}

// A quicClient is one connection with a socket of its own.
type quicClient struct {
	t *quic.Transport
	c *quic.Conn
}

func quicDial(ctx context.Context, addr string) (*quicClient, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return nil, err
	}
	q := &quicClient{t: &quic.Transport{Conn: pc}}
	_, cfg := quicTLS()
	if q.c, err = q.t.Dial(ctx, to, cfg, quicConfig()); err != nil {
		_, _ = q.t.Close(), pc.Close()
		return nil, err
	}
	return q, nil
}

// quicDialStream opens the one stream. The server gets to know of it with the first call.
func quicDialStream(ctx context.Context, addr string) (*quicClient, *quic.Stream, error) {
	q, err := quicDial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	s, err := q.c.OpenStreamSync(ctx)
	if err != nil {
		_ = q.Close()
		return nil, nil, err
	}
	return q, s, nil
}

func (q *quicClient) Close() error {
	err := q.c.CloseWithError(0, "")
	_, _ = q.t.Close(), q.t.Conn.Close() // nothing is left that could fail
	return err
}

// A quicPipe is a stream that closes its connection.
type quicPipe struct {
	*quic.Stream
	q *quicClient
}

func (p *quicPipe) Close() error { return p.q.Close() }

// quicStreams makes each call on a stream of its own.
type quicStreams struct{ *quicClient }

func (q *quicStreams) Call(ctx context.Context, req []byte) ([]byte, error) {
	st, err := q.c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { st.CancelRead(1) })
	defer stop()
	p := make([]byte, 0, 1+len(req))
	p = append(append(p, quicEcho), req...)
	if _, err := st.Write(p); err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(st, maxPayload))
}

func (q *quicStreams) Send(ctx context.Context, msg []byte, n int) error {
	st, err := q.c.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { st.CancelRead(1); st.CancelWrite(1) })
	defer stop()
	if _, err := st.Write([]byte{quicSink}); err != nil {
		return err
	}
	for range n {
		if _, err := st.Write(msg); err != nil {
			return err
		}
	}
	if err := st.Close(); err != nil {
		return err
	}
	if p, err := io.ReadAll(st); err != nil || len(p) != 1 {
		return fmt.Errorf("the server answered %q: %w", p, err)
	}
	return nil
}
