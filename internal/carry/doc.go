// Package carry fills a stick for the assembly line, and finds what is on one.
//
//	NAME.tar.zst        the bundle, or its parts where the file system is FAT
//	NAME.tar.zst.sig    its signature, where it has one
//	nodeseal            the program, install.sh puts it on a node
//	nodeseal.sig        its signature, by the key of the bundle
//	config/             generated configuration
//	README.html         a page for the technician, README.txt the same for a console
//	SHA256SUMS          written last: a stick is whole when it is there
//
// A node that imports leaves result-NODE.txt.
package carry
