// Package program names the program that this module builds.
package program

import _ "go.etcd.io/etcd/server/v3/etcdmain"
