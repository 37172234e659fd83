package identity

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/kith-go/kith"
)

// CustomTLS returns the config of an end in CA mode: a clone of base, which
// decides who is trusted, with what kith needs set over it: TLS 1.3, [ALPN] as
// the only protocol, no tickets, and a refusal of identity certificates whose
// key anyone can sign for. If base has no certificate, key supplies its own;
// key may be nil otherwise, and at a client that shows none. A base that a
// server's GetConfigForClient returns is treated alike. The result is the
// caller's; base is not kept or changed.
func CustomTLS(base *tls.Config, key *kith.Key, server bool) (*tls.Config, error) {
	if base == nil {
		return nil, errors.New("no TLS config")
	}
	if base.MaxVersion != 0 && base.MaxVersion < tls.VersionTLS13 {
		return nil, fmt.Errorf("TLS config has MaxVersion %s, want %s",
			tls.VersionName(base.MaxVersion), tls.VersionName(tls.VersionTLS13))
	}
	c := base.Clone()
	harden(c)
	if !hasCertificate(c, server) {
		switch {
		case key != nil:
			cert, err := issue(key)
			if err != nil {
				return nil, err
			}
			c.Certificates = []tls.Certificate{cert}
		case server && c.GetConfigForClient == nil:
			return nil, errors.New("TLS config has no certificate")
		}
	}
	theirs := c.VerifyConnection
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := checkConnection(&cs); err != nil {
			return err
		}
		if _, err := peer(&cs); err != nil {
			return err
		}
		if theirs != nil {
			return theirs(cs)
		}
		return nil
	}
	if get := c.GetConfigForClient; get != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			inner, err := get(hello)
			if inner == nil || err != nil {
				return nil, err // nil means: go on with the outer config
			}
			return CustomTLS(inner, key, server)
		}
	}
	return c, nil
}

func hasCertificate(c *tls.Config, server bool) bool {
	return len(c.Certificates) > 0 ||
		server && c.GetCertificate != nil ||
		!server && c.GetClientCertificate != nil
}
