// Package program names the program that this module builds.
package program

import _ "k8s.io/kubernetes/cmd/kube-apiserver/app"
