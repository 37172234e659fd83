package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/kith-go/kith"
)

// maxCertificate is the size in bytes above which a certificate is refused.
// Those made here have about 200.
const maxCertificate = 4096

var (
	// From the first second to the last that RFC 5280 can write (section
	// 4.1.2.5), so that no clock, however wrong, decides anything.
	notBefore = time.Unix(0, 0).UTC()
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

	errNoCertificate = errors.New("no certificate")
	errNotIdentity   = errors.New("not an identity certificate")
)

// issue makes the self-signed certificate of key. It names nobody, and every
// one issued for the same key is the same.
func issue(key *kith.Key) (tls.Certificate, error) {
	if key == nil {
		return tls.Certificate{}, errors.New("no key")
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// certificateKey returns the key that a chain of certificates carries. It looks at
// nothing that the certificate says: not at names, validity or extensions. An error
// matches errNoCertificate or errNotIdentity.
func certificateKey(chain []*x509.Certificate) (ed25519.PublicKey, error) {
	if len(chain) == 0 {
		return nil, errNoCertificate
	}
	if len(chain) > 1 {
		return nil, fmt.Errorf("%w: %d certificates, want one", errNotIdentity, len(chain))
	}
	leaf := chain[0]
	if len(leaf.Raw) > maxCertificate {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", errNotIdentity, len(leaf.Raw), maxCertificate)
	}
	pub, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: key of type %v, want Ed25519", errNotIdentity, leaf.PublicKeyAlgorithm)
	}
	return pub, nil
}

// certificateID returns the identity that a chain of certificates stands for, where
// nothing else says that it is one: it has to be signed by its own key. An error
// matching errNotIdentity means that this is some other kind of certificate; any other
// one, that it is a forgery.
func certificateID(chain []*x509.Certificate) (kith.ID, error) {
	pub, err := certificateKey(chain)
	if err != nil {
		return kith.ID{}, err
	}
	leaf := chain[0]
	if leaf.SignatureAlgorithm != x509.PureEd25519 || !ed25519.Verify(pub, leaf.RawTBSCertificate, leaf.Signature) {
		return kith.ID{}, fmt.Errorf("%w: not signed by its own key", errNotIdentity)
	}
	return kith.IDFromPublicKey(pub)
}
