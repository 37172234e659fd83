package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// http3Sys is quic-go's HTTP/3 with the handlers and calls of http1.
var http3Sys = system{
	name: "http3", what: "quic-go's HTTP/3, a request per call on one connection", path: quicPath,
	serve: func(addr string) (server, error) {
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, err
		}
		cfg, _ := tlsPair()
		s := &http3Server{pc: pc, done: make(chan struct{})}
		s.srv = &http3.Server{TLSConfig: http3.ConfigureTLSConfig(cfg), QUICConfig: quicConfig(), Handler: httpHandler()}
		go s.serveLoop()
		return s, nil
	},
	dial: func(ctx context.Context, addr string) (client, error) {
		q, err := http3Conn(ctx, addr)
		if err != nil {
			return nil, err
		}
		t := &http3.Transport{DisableCompression: true}
		c := &httpClient{c: &http.Client{Transport: t.NewClientConn(q.c)}, base: "https://" + addr}
		return &http3Client{c, t, q}, nil
	},
}

// An http3Server runs serveLoop.
type http3Server struct {
	pc   net.PacketConn
	srv  *http3.Server
	done chan struct{} // closed by serveLoop
}

// serveLoop ends with Close, which waits for it.
func (s *http3Server) serveLoop() {
	defer close(s.done)
	_ = s.srv.Serve(s.pc) // what matters fails the calls
}

func (s *http3Server) Addr() string { return s.pc.LocalAddr().String() }

func (s *http3Server) Close() error {
	err := s.srv.Close()
	err = errors.Join(err, s.pc.Close()) // http3 does not close a socket that it did not make
	<-s.done
	return err
}

// http3Conn connects without a first request, so that dialling costs no round trip more
// than the other systems' does.
func http3Conn(ctx context.Context, addr string) (*quicClient, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return nil, err
	}
	q := &quicClient{t: &quic.Transport{Conn: pc}}
	_, cfg := tlsPair()
	cfg.NextProtos = []string{http3.NextProtoH3}
	if q.c, err = q.t.Dial(ctx, to, cfg, quicConfig()); err != nil {
		_, _ = q.t.Close(), pc.Close() // the dial's error is the one to tell
		return nil, err
	}
	return q, nil
}

// An http3Client ends its connection.
type http3Client struct {
	*httpClient
	t *http3.Transport
	q *quicClient
}

func (c *http3Client) Close() error { return errors.Join(c.t.Close(), c.q.Close()) }
