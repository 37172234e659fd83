package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// http1 has as many connections as there are callers at once, kept alive: HTTP/1.1
// carries one call at a time on each.
var http1 = system{
	name: "http1", what: "net/http, HTTP/1.1 kept alive, a connection per caller at once",
	serve: func(addr string) (server, error) {
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		s := &http1Server{l: l, done: make(chan struct{})}
		s.srv = &http.Server{Handler: httpHandler(), ReadHeaderTimeout: 10 * time.Second}
		go s.serveLoop()
		return s, nil
	},
	dial: func(ctx context.Context, addr string) (client, error) {
		c := newHTTPClient(addr)
		// The connection is made by a first call, as with every client of net/http.
		if _, err := c.Call(ctx, nil); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	},
	lazy: func(addr string) (client, error) { return newHTTPClient(addr), nil },
}

func newHTTPClient(addr string) *httpClient {
	t := &http.Transport{MaxIdleConnsPerHost: 8192, DisableCompression: true}
	return &httpClient{c: &http.Client{Transport: t}, base: "http://" + addr}
}

// httpHandler echoes bodies, items, and takes streams.
func httpHandler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		p, err := readBody(r.Body, r.ContentLength)
		if err != nil {
			http.Error(w, "read", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(p)))
		_, _ = w.Write(p) // the client sees what became of it
	})
	m.HandleFunc("POST /item", func(w http.ResponseWriter, r *http.Request) {
		var v item
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			http.Error(w, "decode", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&v) // as above
	})
	m.HandleFunc("POST /sink", func(w http.ResponseWriter, r *http.Request) {
		// A plain io.Copy reads 8 KiB at a time, and loses half of the speed.
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 64<<10))
		if err != nil {
			http.Error(w, "read", http.StatusBadRequest)
		}
	})
	return m
}

// readBody reads a body of a known length in one piece.
func readBody(r io.Reader, n int64) ([]byte, error) {
	if n < 0 || n > maxPayload {
		return nil, errors.New("a body without a length, or too long")
	}
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, err
}

// An http1Server runs serveLoop.
type http1Server struct {
	l    net.Listener
	srv  *http.Server
	done chan struct{} // closed by serveLoop
}

// serveLoop ends with Close, which waits for it.
func (s *http1Server) serveLoop() {
	defer close(s.done)
	_ = s.srv.Serve(s.l) // never nil; what matters fails the calls
}

func (s *http1Server) Addr() string { return s.l.Addr().String() }

func (s *http1Server) Close() error {
	err := s.srv.Close()
	<-s.done
	return err
}

// An httpClient posts.
type httpClient struct {
	c    *http.Client
	base string
}

func (c *httpClient) Call(ctx context.Context, req []byte) ([]byte, error) {
	return c.post(ctx, "/echo", "application/octet-stream", bytes.NewReader(req), int64(len(req)))
}

func (c *httpClient) CallTyped(ctx context.Context, in *item) (*item, error) {
	p, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	p, err = c.post(ctx, "/item", "application/json", bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return nil, err
	}
	out := new(item)
	return out, json.Unmarshal(p, out)
}

func (c *httpClient) Send(ctx context.Context, msg []byte, n int) error {
	body := &repeated{msg: msg, n: n}
	_, err := c.post(ctx, "/sink", "application/octet-stream", body, int64(len(msg))*int64(n))
	return err
}

func (c *httpClient) post(ctx context.Context, path, kind string, body io.Reader, n int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = n
	r.Header.Set("Content-Type", kind)
	resp, err := c.c.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	return readBody(resp.Body, resp.ContentLength)
}

func (c *httpClient) Close() error {
	c.c.CloseIdleConnections()
	return nil
}

// repeated reads as msg, n times.
type repeated struct {
	msg []byte
	n   int
	at  int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	m := copy(p, r.msg[r.at:])
	if r.at += m; r.at == len(r.msg) {
		r.at = 0
		r.n--
	}
	return m, nil
}

// WriteTo writes whole messages, which saves net/http a copy through a small buffer.
func (r *repeated) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for ; r.n > 0; r.n-- {
		m, err := w.Write(r.msg)
		total += int64(m)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
