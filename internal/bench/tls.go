package main

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

// tlsName is the name in the certificate of tlsPair.
const tlsName = "bench.invalid"

// tlsSeed makes the key that every system but kith uses. It stands here so that a
// server in another process has the same one, and proves nothing to anybody.
var tlsSeed = []byte("kith-bench-key-known-to-everyone")

// tlsPair returns what a TLS server and its client use: TLS 1.3, an Ed25519 key, both
// ends with a certificate that the other verifies, and no session tickets, which is
// what kith does. They are fresh copies, without NextProtos.
func tlsPair() (server, client *tls.Config) {
	cert, pool := tlsCertificate()
	server = &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              pool,
		SessionTicketsDisabled: true,
	}
	client = &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		RootCAs:      pool,
		ServerName:   tlsName,
	}
	return server, client
}

// tlsCertificate is the same to the last byte in every process: nothing in it is
// random, nor is an Ed25519 signature.
var tlsCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key := ed25519.NewKeyFromSeed(tlsSeed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: tlsName},
		DNSNames:              []string{tlsName},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err) // the template is wrong
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})
