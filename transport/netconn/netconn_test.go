package netconn_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// listenLocal listens with a new transport, which ends with the test.
func listenLocal(t testing.TB, cfg netconn.Config) (*netconn.Transport, transport.Listener) {
	t.Helper()
	tr := local(cfg)
	t.Cleanup(func() { tr.Close() })
	ln, err := tr.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return tr, ln
}

// A logBuffer keeps what is logged.
type logBuffer struct{ lines chan string }

func newLog() (*logBuffer, *slog.Logger) {
	b := &logBuffer{lines: make(chan string, 1000)}
	return b, slog.New(slog.NewTextHandler(b, nil))
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.lines <- string(p)
	return len(p), nil
}

// await returns the next line that has the word.
func (b *logBuffer) await(t *testing.T, word string) string {
	t.Helper()
	for {
		select {
		case l := <-b.lines:
			if strings.Contains(l, word) {
				return l
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing logged with %q", word)
		}
	}
}

// TestWrongProtocol connects ends that do not fit. The side that can know says
// what is wrong.
func TestWrongProtocol(t *testing.T) {
	t.Run("plaintext client, TLS server", func(t *testing.T) {
		log, logger := newLog()
		_, ln := listenLocal(t, netconn.Config{Logger: logger})
		client := local(netconn.Config{Plaintext: true})
		defer client.Close()
		c, err := client.Dial(t.Context(), ln.Addr().WithID(kith.ID{}))
		if err != nil {
			t.Fatal(err) // nothing is waited for in plaintext
		}
		<-c.Context().Done()
		wantProtocolError(t, context.Cause(c.Context()), "TLS")
		log.await(t, "kith in plaintext")
	})
	t.Run("TLS client, plaintext server", func(t *testing.T) {
		log, logger := newLog()
		_, ln := listenLocal(t, netconn.Config{Plaintext: true, Logger: logger})
		client := local(netconn.Config{})
		defer client.Close()
		_, err := client.Dial(t.Context(), ln.Addr().WithID(kith.NewKey().ID()))
		wantProtocolError(t, err, "kith in plaintext")
		log.await(t, "TLS")
	})
	t.Run("HTTP client, TLS server", func(t *testing.T) {
		log, logger := newLog()
		_, ln := listenLocal(t, netconn.Config{Logger: logger})
		c, err := net.Dial("tcp", ln.Addr().Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(answer), "HTTP/1.0 400 ") {
			t.Errorf("the HTTP client gets %q, want status 400", answer)
		}
		log.await(t, "looks like HTTP")
	})
	t.Run("client of another version, plaintext server", func(t *testing.T) {
		log, logger := newLog()
		_, ln := listenLocal(t, netconn.Config{Plaintext: true, Logger: logger})
		c, err := net.Dial("tcp", ln.Addr().Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "KITHMUX\x09and more")
		answer, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(answer), mux.Preface) || !strings.Contains(string(answer), "plaintext") {
			t.Errorf("it gets %q, want the preface and a reason", answer)
		}
		log.await(t, "version 9 of kith")
	})
	t.Run("TLS client, server of something else", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if c, err := ln.Accept(); err == nil {
				io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
				io.Copy(io.Discard, c)
				c.Close()
			}
		}()
		client := local(netconn.Config{})
		defer client.Close()
		_, err = client.Dial(t.Context(), transport.Addr{Host: ln.Addr().String(), ID: kith.NewKey().ID()})
		wantProtocolError(t, err, "HTTP")
	})
}

func wantProtocolError(t *testing.T, err error, hint string) {
	t.Helper()
	var pe *netconn.ProtocolError
	if !errors.As(err, &pe) || pe.Hint != hint {
		t.Errorf("error = %v, want a ProtocolError with hint %q", err, hint)
	}
}

func TestDialErrors(t *testing.T) {
	_, ln := listenLocal(t, netconn.Config{})
	_, plain := listenLocal(t, netconn.Config{Plaintext: true})
	keyed, open := local(netconn.Config{}), local(netconn.Config{Plaintext: true})
	defer keyed.Close()
	defer open.Close()
	var pe *transport.PeerError

	_, err := keyed.Dial(t.Context(), ln.Addr().WithID(kith.ID{}))
	if !errors.Is(err, transport.ErrNoIdentity) {
		t.Errorf("Dial without ID = %v, want ErrNoIdentity", err)
	}
	other := kith.NewKey().ID()
	_, err = keyed.Dial(t.Context(), ln.Addr().WithID(other))
	if !errors.As(err, &pe) || pe.Want != other || pe.Got != ln.Addr().ID {
		t.Errorf("Dial of another ID = %v, want a PeerError", err)
	}
	_, err = open.Dial(t.Context(), plain.Addr().WithID(other))
	if !errors.As(err, &pe) || pe.Want != other || !pe.Got.IsZero() {
		t.Errorf("plaintext Dial with ID = %v, want a PeerError", err)
	}
	both := local(netconn.Config{Plaintext: true, TLS: &tls.Config{}})
	if _, err := both.Dial(t.Context(), plain.Addr()); err == nil {
		t.Error("Dial with both TLS and Plaintext = nil, want an error")
	}
	keyed.Close()
	if _, err := keyed.Dial(t.Context(), ln.Addr()); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Dial after Close = %v, want ErrClosed", err)
	}
}

// TestAuthority uses certificates of a CA at both ends.
func TestAuthority(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := netconn.Config{TLS: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}}
	_, ln := listenLocal(t, server)
	if !ln.Addr().ID.IsZero() {
		t.Errorf("Addr() = %v, want no ID", ln.Addr())
	}

	good := local(netconn.Config{TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{ca.issue(t, "client")}}})
	defer good.Close()
	c, err := good.Dial(t.Context(), ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.Info(), far.Info(); a.TLS == nil || !a.Peer.IsZero() || a.Binding != b.Binding || a.Binding == [32]byte{} {
		t.Errorf("Info() = %+v and %+v", a, b)
	}
	if _, err := good.Dial(t.Context(), ln.Addr().WithID(kith.NewKey().ID())); err == nil {
		t.Error("Dial of an ID that a CA's certificate does not prove = nil, want an error")
	}

	// One without a certificate is refused when its Dial has returned already.
	bad := local(netconn.Config{TLS: &tls.Config{RootCAs: pool}})
	defer bad.Close()
	c, err = bad.Dial(t.Context(), ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	<-c.Context().Done()
	if ce := transport.ConnErr(c.Context()); ce.Code != kith.Unauthenticated || !strings.Contains(ce.Error(), "certificate") {
		t.Errorf("a client without certificate sees %v, want Unauthenticated", ce)
	}

	none := local(netconn.Config{TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
	defer none.Close()
	if _, err := none.Dial(t.Context(), ln.Addr()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("Dial without the CA = %v", err)
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	ca := &authority{}
	ca.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

func (ca *authority) issue(t *testing.T, name string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		tpl.IPAddresses = []net.IP{ip}
	} else {
		tpl.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestNoALPN has a TLS client with a good identity that does not say kith/1.
func TestNoALPN(t *testing.T) {
	log, logger := newLog()
	_, ln := listenLocal(t, netconn.Config{Logger: logger})
	for _, protos := range [][]string{nil, {"h2"}} {
		c, err := tls.Dial("tcp", ln.Addr().Host, &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
		if err == nil {
			_, err = io.ReadAll(c)
			c.Close()
		}
		if err == nil {
			t.Errorf("a client with protocols %q is served", protos)
		}
		log.await(t, "handshake failed")
	}
}

// TestSilentFlood has many connections from one address that say nothing. A
// good client gets through, and all of them are gone in time.
func TestSilentFlood(t *testing.T) {
	const silent = 1000
	_, ln := listenLocal(t, netconn.Config{HandshakeTimeout: 2 * time.Second})
	client := local(netconn.Config{})
	defer client.Close()
	var conns []net.Conn
	for range silent {
		c, err := net.Dial("tcp", ln.Addr().Host)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		defer c.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := client.Dial(ctx, ln.Addr()); err != nil {
		t.Fatalf("Dial beside %d silent connections = %v", silent, err)
	}
	if _, err := ln.Accept(ctx); err != nil {
		t.Fatalf("Accept() = %v", err)
	}
	for i, c := range conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("silent connection %d lives on", i)
		}
	}
}

// A scriptedListener returns errors, then connections.
type scriptedListener struct {
	errs  int
	conns chan net.Conn
	calls int // of Accept; read it after Close
	done  chan struct{}
	once  sync.Once
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	l.calls++
	if l.errs > 0 {
		l.errs--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *scriptedListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *scriptedListener) Addr() net.Addr { return &net.UnixAddr{Name: "/scripted", Net: "unix"} }

// TestAcceptErrors has a listener that is out of descriptors for a while.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &scriptedListener{errs: 12, conns: make(chan net.Conn), done: make(chan struct{})}
		tr := netconn.New(netconn.Config{
			Scheme: "scripted", Plaintext: true,
			Listen: func(context.Context, transport.Addr) (net.Listener, error) { return inner, nil },
		})
		defer tr.Close()
		ln, err := tr.Listen(t.Context(), transport.Addr{Path: "/scripted"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a, b := net.Pipe()
		defer a.Close()
		inner.conns <- b
		if took := time.Since(start); took < 4*time.Second || took > 7*time.Second {
			t.Errorf("accepting goes on after %v, want about 5 s for 12 errors in a row", took)
		}
		io.WriteString(a, mux.Preface)
		c, err := ln.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, a)
		c.CloseWithError(kith.OK, "")
		ln.Close()
		if n := inner.calls; n > 15 {
			t.Errorf("%d calls of Accept", n)
		}
	})
}

// TestHandshakeTimeout is about peers of a listener, and of a dialler, that say
// nothing.
func TestHandshakeTimeout(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plaintext=%v", plain), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &scriptedListener{conns: make(chan net.Conn), done: make(chan struct{})}
				silent := make(chan net.Conn, 1)
				tr := netconn.New(netconn.Config{
					Scheme: "s", Plaintext: plain,
					Listen: func(context.Context, transport.Addr) (net.Listener, error) { return inner, nil },
					Dial: func(context.Context, transport.Addr) (net.Conn, error) {
						a, b := net.Pipe()
						silent <- b
						return a, nil
					},
				})
				defer tr.Close()
				if _, err := tr.Listen(t.Context(), transport.Addr{Path: "/s"}); err != nil {
					t.Fatal(err)
				}
				a, b := net.Pipe()
				inner.conns <- b
				start := time.Now()
				if _, err := a.Read(make([]byte, 1)); err == nil || time.Since(start) != 5*time.Second {
					t.Errorf("a silent connection ends with %v after %v, want 5 s", err, time.Since(start))
				}
				a.Close()
				start = time.Now()
				id := kith.NewKey().ID()
				if plain {
					id = kith.ID{}
				}
				_, err := tr.Dial(t.Context(), transport.Addr{Path: "/s", ID: id})
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
					t.Errorf("Dial of a silent server = %v after %v, want a timeout after 5 s", err, time.Since(start))
				}
				(<-silent).Close()
			})
		})
	}
}

// TestLogIsSafe has a peer whose text would spoil a log.
func TestLogIsSafe(t *testing.T) {
	log, logger := newLog()
	_, ln := listenLocal(t, netconn.Config{Plaintext: true, Logger: logger})
	c, err := net.Dial("tcp", ln.Addr().Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "a\nb\x1b[0m\x00xyz")
	line := log.await(t, "handshake failed")
	if strings.Count(line, "\n") != 1 || strings.ContainsAny(line, "\x1b\x00") {
		t.Errorf("logged %q, want one clean line", line)
	}
}

// TestLogIsLimited fails many handshakes.
func TestLogIsLimited(t *testing.T) {
	log, logger := newLog()
	_, ln := listenLocal(t, netconn.Config{Plaintext: true, Logger: logger})
	for range 100 {
		c, err := net.Dial("tcp", ln.Addr().Host)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "nonsense")
		io.ReadAll(c)
		c.Close()
	}
	if n := len(log.lines); n > 50 {
		t.Errorf("%d lines logged for 100 failed handshakes", n)
	}
}

// TestFreshKey says in the log which identity was made up.
func TestFreshKey(t *testing.T) {
	log, logger := newLog()
	tr := local(netconn.Config{Logger: logger})
	defer tr.Close()
	if line := log.await(t, "new identity"); !strings.Contains(line, tr.ID().String()) {
		t.Errorf("logged %q, want ID %v", line, tr.ID())
	}
}

// TestPipe wraps the ends of pipes that are no net.Conn, secured and not.
func TestPipe(t *testing.T) {
	type rwc struct {
		io.Reader
		io.Writer
		io.Closer
	}
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plaintext=%v", plain), func(t *testing.T) {
			a, b := net.Pipe()
			x := netconn.New(netconn.Config{Scheme: "pipe", Plaintext: plain})
			y := netconn.New(netconn.Config{Scheme: "pipe", Plaintext: plain})
			defer x.Close()
			defer y.Close()
			accepted := make(chan transport.Conn, 1)
			go func() {
				c, err := y.Server(t.Context(), rwc{b, b, b})
				if err != nil {
					t.Errorf("Server() = %v", err)
				}
				accepted <- c
			}()
			c, err := x.Client(t.Context(), rwc{a, a, a}, transport.Addr{ID: y.ID(), Host: "child"})
			if err != nil {
				t.Fatal(err)
			}
			far := <-accepted
			s, err := c.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go transport.WriteLast(s, bytes.Repeat([]byte("x"), 1<<20))
			r, err := far.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); n != 1<<20 || err != nil {
				t.Errorf("Copy() = %d, %v", n, err)
			}
			info := c.Info()
			if info.Peer != y.ID() || info.Remote.Host != "child" || !info.Dialed || (info.TLS == nil) != plain {
				t.Errorf("Info() = %+v", info)
			}
			far.CloseWithError(kith.Aborted, "done")
			<-c.Context().Done()
			if ce := transport.ConnErr(c.Context()); ce.Reason != "done" {
				t.Errorf("the connection ended with %v, want the reason given", ce)
			}
		})
	}
}
