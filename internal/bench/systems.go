package main

// systems is everything that is measured, in the order of the tables. Each value stands
// in the file of its adapter.
var systems = []system{
	kithMemory, kithTCP, kithTLS, kithQUIC,
	rawTCP, rawTLS, rawPipe, rawTLSPipe, rawQUICStream, rawQUICLong, rawQUICPipe,
	netrpcGob, netrpcRaw, http1,
	grpcPlain, grpcTLS, grpcBidi, grpcBidiTLS, connectH2C, connectJSON, drpcPlain, drpcTLS,
	http3Sys, yamuxSys, smuxSys, libp2pTLS, libp2pNoise, libp2pQUIC, natsSys,
}
