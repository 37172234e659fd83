package admit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

var alice, bob = kith.NewKey().ID(), kith.NewKey().ID()

// certified is the info of a connection with a certificate of that name that a
// CA signed.
func certified(name string) transport.Info {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}
	return transport.Info{TLS: &tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{leaf},
		VerifiedChains:   [][]*x509.Certificate{{leaf, ca}},
	}}
}

func TestPolicies(t *testing.T) {
	unverified := transport.Info{Peer: alice, TLS: &tls.ConnectionState{
		PeerCertificates: certified("mallory").TLS.PeerCertificates,
	}}
	for _, tt := range []struct {
		name   string
		policy admit.Policy
		info   transport.Info
		code   kith.Code // OK if admitted
		reason string
		who    string // the grant's name
	}{
		{"Anyone, known", admit.Anyone(), transport.Info{Peer: alice}, kith.OK, "", ""},
		{"Anyone, no identity", admit.Anyone(), transport.Info{}, kith.OK, "", ""},
		{"Anyone says no name", admit.Anyone(), certified("ada"), kith.OK, "", ""},

		{"Pins, first", admit.Pins(alice, bob), transport.Info{Peer: alice}, kith.OK, "", ""},
		{"Pins, second", admit.Pins(alice, bob), transport.Info{Peer: bob}, kith.OK, "", ""},
		{"Pins, twice the same", admit.Pins(alice, alice), transport.Info{Peer: alice}, kith.OK, "", ""},
		{"Pins, another", admit.Pins(alice), transport.Info{Peer: bob}, kith.PermissionDenied, "not_admitted", ""},
		{"Pins, no identity", admit.Pins(alice), transport.Info{}, kith.Unauthenticated, "no_identity", ""},
		{"Pins, a certificate instead", admit.Pins(alice), certified("alice"), kith.Unauthenticated, "no_identity", ""},
		{"Pins, none", admit.Pins(), transport.Info{Peer: alice}, kith.PermissionDenied, "not_admitted", ""},
		{"Pins, none, no identity", admit.Pins(), transport.Info{}, kith.Unauthenticated, "no_identity", ""},

		{"Verified", admit.Verified(), certified("ada"), kith.OK, "", "ada"},
		{"Verified, no common name", admit.Verified(), certified(""), kith.OK, "", ""},
		{"Verified, no TLS", admit.Verified(), transport.Info{Peer: alice}, kith.Unauthenticated, "no_certificate", ""},
		{"Verified, no CA signed", admit.Verified(), unverified, kith.Unauthenticated, "no_certificate", ""},
	} {
		grant, err := tt.policy.Admit(t.Context(), tt.info, []byte("presented"))
		var e *kith.Error
		errors.As(err, &e)
		if tt.code == kith.OK {
			if err != nil || grant.Name != tt.who || grant.Groups != nil {
				t.Errorf("%s: Admit = %+v, %v, want the name %q", tt.name, grant, err, tt.who)
			}
		} else if e == nil || e.Code() != tt.code || e.Reason() != tt.reason || grant.Name != "" {
			t.Errorf("%s: Admit = %+v, %v, want %v %s", tt.name, grant, err, tt.code, tt.reason)
		}
		if p, err := tt.policy.Present(t.Context(), tt.info); p != nil || err != nil {
			t.Errorf("%s: Present = %q, %v, want nothing", tt.name, p, err)
		}
	}
}

// TestPinsAreCopied: what is admitted does not change behind the policy's back.
func TestPinsAreCopied(t *testing.T) {
	ids := []kith.ID{alice}
	p := admit.Pins(ids...)
	ids[0] = bob
	if _, err := p.Admit(t.Context(), transport.Info{Peer: bob}, nil); !errors.Is(err, admit.ErrRefused) {
		t.Errorf("Admit(bob) = %v, want ErrRefused", err)
	}
	if _, err := p.Admit(t.Context(), transport.Info{Peer: alice}, nil); err != nil {
		t.Errorf("Admit(alice) = %v, want no error", err)
	}
}

func TestPinsPanicsOnZeroID(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "admit: ") {
			t.Errorf("Pins(zero) panicked with %q, want an explanation", text)
		}
	}()
	admit.Pins(alice, kith.ID{})
}

func TestFunc(t *testing.T) {
	var seen transport.Info
	bad := errors.New("not today")
	p := admit.Func(func(info transport.Info) (admit.Grant, error) {
		seen = info
		return admit.Grant{Name: "ada", Groups: []string{"ops"}}, bad
	})
	grant, err := p.Admit(t.Context(), transport.Info{Peer: alice, Dialed: true}, []byte("presented"))
	if grant.Name != "ada" || len(grant.Groups) != 1 || err != bad || seen.Peer != alice || !seen.Dialed {
		t.Errorf("Admit = %+v, %v with %+v, want what the function gave", grant, err, seen)
	}
}

func TestPoliciesAtOnce(t *testing.T) {
	pins := admit.Pins(alice)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			info := transport.Info{Peer: alice}
			if i%2 == 1 {
				info.Peer = bob
			}
			for range 100 {
				if _, err := pins.Admit(context.Background(), info, nil); (err == nil) != (i%2 == 0) {
					t.Errorf("Admit(%v) = %v, want admitted %t", info.Peer.Short(), err, i%2 == 0)
				}
			}
		})
	}
	wg.Wait()
}

func TestErrors(t *testing.T) {
	for _, remedy := range []string{"admit.Pins", "admit.Anyone", "ClientCAs", "RequireAndVerifyClientCert"} {
		if text := admit.ErrNoPolicy.Error(); !strings.Contains(text, remedy) {
			t.Errorf("ErrNoPolicy = %q, want it to name %s", text, remedy)
		}
	}
	if admit.ErrRefused.Code() != kith.PermissionDenied || kith.Remote(admit.ErrRefused) {
		t.Errorf("ErrRefused = %v, want an authored PermissionDenied", admit.ErrRefused)
	}
}
