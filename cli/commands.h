// SPDX-License-Identifier: Apache-2.0
// The commands of the penstock program. Each adds itself to the command line.
//
// Ownership: the callbacks own their options; `exit_status` outlives the parse.
// Threads: the main thread.
// Errors: printed to stderr; `exit_status` is then kFailed or kUsage.
// Invariants: exit statuses are those of exit_status.h.
#pragma once

namespace CLI {
class App;
}

namespace penstock {

void add_mount_command(CLI::App& program, int& exit_status);
void add_umount_command(CLI::App& program, int& exit_status);
void add_ls_command(CLI::App& program, int& exit_status);
void add_check_command(CLI::App& program, int& exit_status);
void add_daemon_command(CLI::App& program, int& exit_status);
void add_info_command(CLI::App& program, int& exit_status);
void add_map_command(CLI::App& program, int& exit_status);
void add_status_command(CLI::App& program, int& exit_status);
void add_graph_command(CLI::App& program, int& exit_status);
void add_resize_command(CLI::App& program, int& exit_status);
void add_move_command(CLI::App& program, int& exit_status);
void add_iothread_command(CLI::App& program, int& exit_status);
void add_throttle_command(CLI::App& program, int& exit_status);
void add_filter_command(CLI::App& program, int& exit_status);
void add_close_command(CLI::App& program, int& exit_status);
void add_backup_command(CLI::App& program, int& exit_status);
void add_jobs_command(CLI::App& program, int& exit_status);
void add_qmp_command(CLI::App& program, int& exit_status);
// Named in the help; its words are QEMU's, and run_storage_daemon() reads them.
void add_storage_daemon_command(CLI::App& program);
int run_storage_daemon(int argc, char** argv);
// Hidden: what a mount runs to look for partitions.
void add_probe_command(CLI::App& program, int& exit_status);

}  // namespace penstock
